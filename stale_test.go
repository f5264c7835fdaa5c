package zmqauth

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// reasonOf is the reason of the last decision that ask leads to.
func reasonOf(t *testing.T, a *Authenticator, decisions <-chan Decision, request [][]byte) string {
	t.Helper()
	a.HandleZAPMessage(t.Context(), request)
	return (<-decisions).Reason
}

// TestStaleLimit: a file or a directory that cannot be used stays in force for the limit, and then
// lets nobody in until it is mended. The log and Stats say so.
func TestStaleLimit(t *testing.T) {
	const limit = 3 * time.Second
	for name, test := range map[string]struct {
		prepare func(t *testing.T, a *Authenticator) (path string, request [][]byte)
		mode    os.FileMode // of the path when all is well
	}{
		"password file": {func(t *testing.T, a *Authenticator) (string, [][]byte) {
			path := t.TempDir() + "/passwords"
			must.OK(t, os.WriteFile(path, []byte("ann=secret\n"), 0o600))
			must.OK(t, a.ConfigurePlainFile("d", path))
			return path, zapRequest("d", "127.0.0.1", "PLAIN", "ann", "secret")
		}, 0o600},
		"directory": {func(t *testing.T, a *Authenticator) (string, [][]byte) {
			dir := t.TempDir()
			key := writePublic(t, dir+"/ann.key", nil)
			must.OK(t, a.ConfigureCurve("d", dir))
			return dir, zapRequest("d", "127.0.0.1", "CURVE", string(key[:]))
		}, 0o755},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logbuffer.Buffer
			decisions := make(chan Decision, 1)
			a := newAuthenticator(t, Config{Logger: log.Logger(), StaleLimit: limit,
				OnDecision: func(d Decision) { decisions <- d }})
			path, request := test.prepare(t, a)
			if got := reasonOf(t, a, decisions, request); got != ReasonAccepted {
				t.Fatalf("at first: %s", got)
			}
			begun := time.Now()
			must.OK(t, os.Chmod(path, 0o777)) // now it cannot be trusted
			testpeer.Eventually(t, "it is counted", func() bool { return a.Stats().Unusable == 1 })
			if got := reasonOf(t, a, decisions, request); got != ReasonAccepted {
				t.Errorf("soon: %s", got)
			}
			testpeer.Eventually(t, "it is out of force", func() bool {
				return reasonOf(t, a, decisions, request) == ReasonStale
			})
			if after := time.Since(begun); after < limit {
				t.Errorf("out of force after %v", after)
			}
			testpeer.Eventually(t, "the log says so", func() bool {
				text := log.String()
				return strings.Contains(text, "what was in force stays") &&
					strings.Contains(text, "and nobody in it gets in") &&
					strings.Count(text, "level=ERROR") == 2 && strings.Contains(text, path)
			})
			must.OK(t, os.Chmod(path, test.mode))
			testpeer.Eventually(t, "it is in force again", func() bool {
				return reasonOf(t, a, decisions, request) == ReasonAccepted
			})
			if got := a.Stats().Unusable; got != 0 {
				t.Errorf("%d are unusable", got)
			}
			testpeer.Eventually(t, "the log says that, too", func() bool {
				return strings.Contains(log.String(), "can be used again")
			})
		})
	}
}

// TestStaleCertificate: the last good content of a broken certificate is in force for the limit.
// That of the others stays.
func TestStaleCertificate(t *testing.T) {
	const limit = time.Second
	decisions := make(chan Decision, 1)
	var log logbuffer.Buffer
	a := newAuthenticator(t, Config{Logger: log.Logger(), StaleLimit: limit,
		OnDecision: func(d Decision) { decisions <- d }})
	dir := t.TempDir()
	ann, bob := writePublic(t, dir+"/ann.key", nil), writePublic(t, dir+"/bob.key", nil)
	must.OK(t, a.ConfigureCurve("d", dir))
	ask := func(key PublicKey) string {
		return reasonOf(t, a, decisions, zapRequest("d", "127.0.0.1", "CURVE", string(key[:])))
	}
	must.OK(t, os.WriteFile(dir+"/ann.key", []byte("broken"), 0o644))
	testpeer.Eventually(t, "it is out of force", func() bool { return ask(ann) == ReasonKeyExpired })
	if got := ask(bob); got != ReasonAccepted {
		t.Errorf("the other: %s", got)
	}
}

// TestStaleLimitOfPolicy: the limit of an applied policy takes the place of the Config's, until the
// next one.
func TestStaleLimitOfPolicy(t *testing.T) {
	a := newAuthenticator(t, Config{StaleLimit: time.Hour})
	for text, want := range map[string]time.Duration{
		"stale-limit = 10m\n": 10 * time.Minute, "": time.Hour,
	} {
		p, err := ParsePolicy("policy.zpl", []byte(text))
		must.OK(t, err)
		must.OK(t, a.Apply(p))
		if got := a.policy.Load().staleLimit; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, text := range []string{"stale-limit = 0s", "stale-limit = soon", "stale-limit = -1m",
		"stale-limit = 1m\nstale-limit = 2m", "stale-limit"} {
		if _, err := ParsePolicy("policy.zpl", []byte(text+"\n")); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
}
