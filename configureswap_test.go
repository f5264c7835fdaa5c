package zmqauth

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// swapSize is how much of each kind TestConfigurationHoldsUpNobody configures: what the environment
// says, a million for the figures of docs/performance.md.
func swapSize(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ZMQAUTH_SWAP_SIZE")
	if text == "" {
		return 20_000
	}
	size, err := strconv.Atoi(text)
	must.OK(t, err)
	return size
}

// TestConfigurationHoldsUpNobody: decisions go on while a large configuration is put in force. The
// longest that one takes meanwhile is far from what the call takes. The client asks over the ZAP
// socket and pauses, as libzmq does: a loop without pauses measures how long Go lets a goroutine
// run.
func TestConfigurationHoldsUpNobody(t *testing.T) {
	size := swapSize(t)
	runs := 3
	if os.Getenv("ZMQAUTH_SWAP_SIZE") != "" {
		runs = 20
	}
	dir := t.TempDir()
	keys := make([]PublicKey, size)
	passwords := make(map[string]string, size)
	addresses := make([]string, size)
	var users strings.Builder
	for n := range size {
		keys[n] = numberedKey(n)
		passwords[fmt.Sprint("user", n)] = "secret"
		addresses[n] = fmt.Sprintf("2001:db8:%x:%x::/64", n>>16, n&0xffff)
		fmt.Fprintf(&users, "user%d=secret\n", n)
	}
	writeFile(t, filepath.Join(dir, "passwords"), users.String(), 0o600)
	certificates := filepath.Join(dir, "certificates")
	must.OK(t, os.Mkdir(certificates, 0o700))
	for n := range min(size, 20_000) {
		c := Certificate{Public: keys[n]}
		text, err := c.encode(false)
		must.OK(t, err)
		writeFile(t, filepath.Join(certificates, fmt.Sprint(n, ".key")), string(text), 0o600)
	}
	policy := filepath.Join(dir, "policy")
	writeFile(t, policy, "domain = d\n    plain = passwords\n    curve = certificates\n", 0o600)
	loaded, err := LoadPolicy(policy)
	must.OK(t, err)
	credentials := credentialsOf(t, size)

	for name, configure := range map[string]func(a *Authenticator) error{
		"ConfigureCurveKeys": func(a *Authenticator) error { return a.ConfigureCurveKeys("d", keys...) },
		"ConfigurePlain":     func(a *Authenticator) error { return a.ConfigurePlain("d", passwords) },
		"Deny":               func(a *Authenticator) error { return a.Deny(addresses...) },
		"SetDenied":          func(a *Authenticator) error { return a.SetDenied("*", addresses...) },
		"ConfigureCurve":     func(a *Authenticator) error { return a.ConfigureCurve("d", certificates) },
		"Apply":              func(a *Authenticator) error { return a.Apply(loaded) },
		"ConfigureCredentials": func(a *Authenticator) error {
			return a.ConfigureCredentials("d", credentials)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var judged, answered, judgedIdle, answeredIdle, calls []time.Duration
			for range runs {
				a, client := asked(t)
				must.OK(t, a.ConfigureCurveKeys("other", keys[0]))
				judging, answering, call := longestWaits(t, a, client, func() error {
					return configure(a)
				})
				judged, answered = append(judged, judging), append(answered, answering)
				calls = append(calls, call)
				must.OK(t, a.Close())
				a, client = asked(t)
				judging, answering, _ = longestWaits(t, a, client, func() error {
					time.Sleep(call) // as long, with nothing to do
					return nil
				})
				judgedIdle = append(judgedIdle, judging)
				answeredIdle = append(answeredIdle, answering)
				must.OK(t, a.Close())
			}
			for _, all := range [][]time.Duration{judged, answered, judgedIdle, answeredIdle, calls} {
				slices.Sort(all)
			}
			middle := runs / 2
			wait, idle, call := answered[middle], answeredIdle[middle], calls[middle]
			t.Logf("%d: the call takes %v, meanwhile the longest decision %v (at rest %v), "+
				"answer on the socket %v (at rest %v)", size, call,
				judged[middle], judgedIdle[middle], wait, idle)
			if wait > call/4 && wait > 10*idle { // a busy machine takes long at any time
				t.Errorf("an answer waits for %v of a call of %v", wait, call)
			}
		})
	}
}

// asked starts an Authenticator and a client that asks it, with no garbage left of others.
func asked(t *testing.T) (*Authenticator, *zapClient) {
	t.Helper()
	ctx := testzmq.NewContext(t)
	a, err := New(ctx, &Config{Logger: quiet()})
	must.OK(t, err)
	must.OK(t, a.Start())
	client := newZAPClient(t, ctx)
	runtime.GC()
	return a, client
}

// longestWaits are the longest that a decision takes during a call, the longest that the answer
// to a client takes, and what the call takes.
func longestWaits(
	t *testing.T, a *Authenticator, client *zapClient, call func() error,
) (judging, answering, took time.Duration) {
	t.Helper()
	begun, done := make(chan bool), make(chan time.Duration)
	go func() {
		<-begun
		start := time.Now()
		if err := call(); err != nil {
			t.Error(err)
		}
		done <- time.Since(start)
	}()
	request := curveRequest("other", numberedKey(0))
	client.ask(request)
	close(begun)
	for {
		time.Sleep(100 * time.Microsecond)
		start := time.Now()
		ask(t, a, request) // by the rules before or after, as it happens
		asked := time.Now()
		client.ask(request)
		judging, answering = max(judging, asked.Sub(start)), max(answering, time.Since(asked))
		select {
		case took = <-done:
			return judging, answering, took
		default:
		}
	}
}
