package zmqauth

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestApplyAfter: the new rules come into force after the last step has succeeded. For a policy
// with an error that step is not called.
func TestApplyAfter(t *testing.T) {
	testpeer.NothingLeft(t)
	dir, key := policyHome(t)
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Apply(mustLoadPolicy(t, dir, "domain = a\n    allow = 1.1.1.1\n")))
	const text = "domain = a\n    allow = 2.2.2.2\n    plain = passwords\n    curve = certificates\n"
	oldRulesHold := func() {
		t.Helper()
		for address, want := range map[string]string{"1.1.1.1": "200", "2.2.2.2": "400"} {
			if got, _ := ask(t, a, zapRequest("a", address, "NULL")); got != want {
				t.Errorf("%s: status %s", address, got)
			}
		}
	}
	p := mustLoadPolicy(t, dir, text)

	must.OK(t, os.Rename(filepath.Join(dir, "passwords"), filepath.Join(dir, "moved")))
	called := false
	err := a.ApplyAfter(p, func() error {
		called = true
		return nil
	})
	if !errors.Is(err, fs.ErrNotExist) || called {
		t.Errorf("a policy that is wrong: %v, called: %v", err, called)
	}
	oldRulesHold()
	must.OK(t, os.Rename(filepath.Join(dir, "moved"), filepath.Join(dir, "passwords")))

	refusal := errors.New("no")
	if err := a.ApplyAfter(p, func() error { oldRulesHold(); return refusal }); err != refusal {
		t.Errorf("%v, want %v", err, refusal)
	}
	oldRulesHold()
	eventuallyFollows(t, a, 0)

	must.OK(t, a.ApplyAfter(p, func() error {
		oldRulesHold()
		must.OK(t, os.Remove(filepath.Join(dir, "certificates", "ann.key")))
		writePrivate(t, filepath.Join(dir, "passwords"), "bob=other\n")
		return nil
	}))
	eventuallyAsk(t, "a removed key is refused", a,
		zapRequest("a", "2.2.2.2", "CURVE", string(key[:])), "400")
	eventuallyAsk(t, "a removed user is refused", a,
		zapRequest("a", "2.2.2.2", "PLAIN", "ann", "secret"), "400")
	eventuallyAsk(t, "a new user gets in", a,
		zapRequest("a", "2.2.2.2", "PLAIN", "bob", "other"), "200")

	if err := a.ApplyAfter(p, a.Close); err != ErrClosed {
		t.Errorf("closed meanwhile: %v", err)
	}
}

// TestApplyAfterWhateverLastDoes: what the last step configures goes away with the old rules. Where
// it panics, nothing has changed.
func TestApplyAfterWhateverLastDoes(t *testing.T) {
	testpeer.NothingLeft(t)
	dir, key := policyHome(t)
	a := newAuthenticator(t, Config{})
	p := mustLoadPolicy(t, dir, "domain = a\n    curve = certificates\n")
	status := func(domain string) string {
		got, _ := ask(t, a, zapRequest(domain, "1.1.1.1", "CURVE", string(key[:])))
		return got
	}

	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		_ = a.ApplyAfter(p, func() error { panic("last") })
	}()
	eventuallyFollows(t, a, 0)
	if got := status("a"); got != "400" {
		t.Errorf("after a panic: status %s", got)
	}
	if err := a.ApplyAfter(p, nil); err == nil {
		t.Error("nil is called")
	}

	must.OK(t, a.ApplyAfter(p, func() error {
		return errors.Join(a.Apply(p), a.ConfigureCurve("b", filepath.Join(dir, "certificates")),
			a.Deny("1.1.1.1"))
	}))
	if got := status("a"); got != "200" {
		t.Errorf("what the policy says: status %s", got)
	}
	if got := status("b"); got != "400" {
		t.Errorf("what last has configured: status %s", got)
	}
	eventuallyFollows(t, a, 1)
}
