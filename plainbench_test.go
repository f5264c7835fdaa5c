package zmqauth

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth/internal/must"
)

// BenchmarkHashLatency measures how long a CURVE client waits for its decision, on an idle
// authenticator and while 50 wrong passwords are being verified.
func BenchmarkHashLatency(b *testing.B) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), 10)
	must.OK(b, err)
	for _, wrong := range []int{0, 50} {
		b.Run(fmt.Sprintf("wrong=%d", wrong), func(b *testing.B) {
			a := startAuthenticator(b, Config{CallbackTimeout: patience})
			must.OK(b, a.ConfigurePlain("d", map[string]string{"ann": string(hash)}))
			must.OK(b, a.ConfigureCurveKeys("d", PublicKey([]byte(key32))))
			zap, other := newZAPClient(b, a.Context()), newZAPClient(b, a.Context())
			for range wrong {
				zap.send(plainRequest("d", "ann", "guess"))
			}
			var latencies []time.Duration
			for b.Loop() {
				sent := time.Now()
				other.ask(zapRequest("d", "", "CURVE", key32))
				latencies = append(latencies, time.Since(sent))
			}
			slices.Sort(latencies)
			b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "µs/median")
		})
	}
}

// BenchmarkRefusalTiming compares the time of an unknown user with that of a wrong password.
// "unknown/wrong" is the quotient of the medians of 200 tries each.
func BenchmarkRefusalTiming(b *testing.B) {
	for name, hash := range map[string]func(string) (string, error){
		"bcrypt": func(p string) (string, error) {
			h, err := bcrypt.GenerateFromPassword([]byte(p), 6)
			return string(h), err
		},
		"argon2id": HashPassword,
		"clear":    func(p string) (string, error) { return p, nil },
	} {
		b.Run(name, func(b *testing.B) {
			a := newAuthenticator(b, Config{CallbackTimeout: patience})
			entry, err := hash("secret")
			must.OK(b, err)
			must.OK(b, a.ConfigurePlain("d", map[string]string{"ann": entry}))
			var ratio float64
			for range b.N {
				const tries = 200
				var times [2][]time.Duration
				for range tries {
					for i, user := range []string{"nobody", "ann"} {
						begun := time.Now()
						ask(b, a, plainRequest("d", user, "guess"))
						times[i] = append(times[i], time.Since(begun))
					}
				}
				slices.Sort(times[0])
				slices.Sort(times[1])
				ratio = float64(times[0][tries/2]) / float64(times[1][tries/2])
			}
			b.ReportMetric(ratio, "unknown/wrong")
		})
	}
}
