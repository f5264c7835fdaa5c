package zmqauth

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// swapSize is how much of each kind TestConfigurationHoldsUpNobody configures: what the environment
// says, a million for the figures of docs/performance.md.
func swapSize(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ZMQAUTH_SWAP_SIZE")
	if text == "" {
		return 50_000
	}
	size, err := strconv.Atoi(text)
	must.OK(t, err)
	return size
}

// TestConfigurationHoldsUpNobody: decisions go on while a large configuration is put in force. The
// longest that one takes meanwhile is far from what the call takes.
func TestConfigurationHoldsUpNobody(t *testing.T) {
	size := swapSize(t)
	runs := 3
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
			var waits, idle, calls []time.Duration
			for range runs {
				a := newAuthenticator(t, Config{})
				must.OK(t, a.ConfigureCurveKeys("other", keys[0]))
				wait, call := longestWait(t, a, configure)
				rest, _ := longestWait(t, a, func(*Authenticator) error {
					time.Sleep(call) // as long, with nothing to do
					return nil
				})
				waits, idle, calls = append(waits, wait), append(idle, rest), append(calls, call)
				must.OK(t, a.Close())
			}
			slices.Sort(waits)
			slices.Sort(idle)
			slices.Sort(calls)
			wait, call := waits[runs/2], calls[runs/2]
			t.Logf("%d: the call takes %v, the longest decision meanwhile %v, at rest %v", size, call,
				wait, idle[runs/2])
			if wait > call/2 && wait > 10*idle[runs/2] { // a busy machine takes long at any time
				t.Errorf("a decision waits for %v of a call of %v", wait, call)
			}
		})
	}
}

// longestWait is the longest that a decision takes during a call, and what the call takes.
func longestWait(
	t *testing.T, a *Authenticator, call func(*Authenticator) error,
) (longest, took time.Duration) {
	t.Helper()
	begun, done := make(chan bool), make(chan time.Duration)
	go func() {
		<-begun
		start := time.Now()
		if err := call(a); err != nil {
			t.Error(err)
		}
		done <- time.Since(start)
	}()
	request := curveRequest("other", numberedKey(0))
	ask(t, a, request)
	close(begun)
	for {
		start := time.Now()
		ask(t, a, request) // by the rules before or after, as it happens
		longest = max(longest, time.Since(start))
		select {
		case took = <-done:
			return longest, took
		default:
		}
	}
}
