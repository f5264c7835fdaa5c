package zmqauth

import (
	"errors"
	"fmt"
	"testing"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestBadAddressesChangeNothing: a bad address adds no rule, neither for itself nor for a good
// address in the same call. Package acl has the cases of what is no address.
func TestBadAddressesChangeNothing(t *testing.T) {
	for name, add := range map[string]func(*Authenticator, ...string) error{
		"Allow": (*Authenticator).Allow,
		"Deny":  (*Authenticator).Deny,
		"AllowDomain": func(a *Authenticator, addresses ...string) error {
			return a.AllowDomain("d", addresses...)
		},
		"DenyDomain": func(a *Authenticator, addresses ...string) error {
			return a.DenyDomain("d", addresses...)
		},
	} {
		for _, entry := range []string{"", "*", "example.org", "127.0.0.1/33", "uid:root"} {
			t.Run(fmt.Sprintf("%s %q", name, entry), func(t *testing.T) {
				a := newAuthenticator(t, Config{})
				if err := add(a, "127.0.0.1", entry); err == nil {
					t.Error("no error")
				}
				for _, address := range []string{"127.0.0.1", "192.0.2.1"} {
					if status, _ := ask(t, a, zapRequest("d", address, "NULL")); status != "200" {
						t.Errorf("it left rules behind: %s gets %s", address, status)
					}
				}
			})
		}
	}
}

func TestScopesHoldOneKind(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Allow("127.0.0.1", "127.0.0.2"))
	if err := a.Deny("127.0.0.1"); !errors.Is(err, acl.ErrMixed) {
		t.Errorf("Deny after Allow: %v", err)
	}
	must.OK(t, a.DenyDomain("d", "127.0.0.2"))
	if err := a.AllowDomain("d", "127.0.0.2"); !errors.Is(err, acl.ErrMixed) {
		t.Errorf("AllowDomain after DenyDomain: %v", err)
	}
	if err := a.DenyDomain(AnyDomain, "127.0.0.1"); !errors.Is(err, acl.ErrMixed) {
		t.Errorf("DenyDomain of any domain after Allow: %v", err)
	}
	// The general rules hold, and the domain's besides.
	for _, test := range []struct{ domain, address, want string }{
		{"d", "127.0.0.1", "200"}, {"d", "127.0.0.2", "400"}, {"d", "127.0.0.3", "400"},
		{"e", "127.0.0.1", "200"}, {"e", "127.0.0.2", "200"}, {"e", "127.0.0.3", "400"},
		{"", "127.0.0.3", "400"},
	} {
		if status, _ := ask(t, a, zapRequest(test.domain, test.address, "NULL")); status != test.want {
			t.Errorf("domain %q, %s: status %s, want %s", test.domain, test.address, status, test.want)
		}
	}
	a.ResetAddresses()
	must.OK(t, a.Deny("192.0.2.1"))
	if status, _ := ask(t, a, zapRequest("d", "127.0.0.2", "NULL")); status != "200" {
		t.Errorf("status %s after ResetAddresses", status)
	}
}

func TestEmptyLists(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Deny())
	if status, _ := ask(t, a, nullRequest()); status != "200" {
		t.Errorf("denying nobody: status %s", status)
	}
	must.OK(t, a.Allow())
	if status, _ := ask(t, a, nullRequest()); status != "400" {
		t.Errorf("allowing nobody: status %s", status)
	}
}

// TestSetAddresses: a list takes the place of a scope's rules, of either kind. Other scopes stay.
func TestSetAddresses(t *testing.T) {
	const here, there = "192.0.2.1", "198.51.100.1"
	for name, test := range map[string]struct {
		change      func(a *Authenticator) error
		here, there bool // pass in domain d afterwards; here is allowed before
	}{
		"another allow list": {
			func(a *Authenticator) error { return a.SetAllowed("*", there) }, false, true,
		},
		"nobody": {func(a *Authenticator) error { return a.SetAllowed("*") }, false, false},
		"a deny list": {
			func(a *Authenticator) error { return a.SetDenied("*", here) }, false, true,
		},
		"no list": {func(a *Authenticator) error { return a.SetDenied("*") }, true, true},
		"a domain's": {
			func(a *Authenticator) error { return a.SetDenied("d", here) }, false, false,
		},
		"an entry less": {
			func(a *Authenticator) error { return a.RemoveAddresses("*", here) }, false, false,
		},
		"what is not there": {
			func(a *Authenticator) error { return a.RemoveAddresses("*", there) }, true, false,
		},
		"of a domain without rules": {
			func(a *Authenticator) error { return a.RemoveAddresses("d", here) }, true, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthenticator(t, Config{})
			must.OK(t, a.Allow(here))
			must.OK(t, test.change(a))
			for address, want := range map[string]bool{here: test.here, there: test.there} {
				status, _ := ask(t, a, zapRequest("d", address, "NULL"))
				if (status == "200") != want {
					t.Errorf("%s: status %s, want in %v", address, status, want)
				}
			}
		})
	}
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Allow(here))
	for name, err := range map[string]error{
		"SetAllowed":      a.SetAllowed("*", there, "10/8"),
		"SetDenied":       a.SetDenied("*", there, "10/8"),
		"RemoveAddresses": a.RemoveAddresses("*", here, "10/8"),
		"no domain":       a.SetAllowed("", there),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if status, _ := ask(t, a, zapRequest("d", here, "NULL")); status != "200" {
		t.Error("an error has changed something")
	}
}

// TestSetAllowedLeavesNoGap: while lists are replaced all the time, no stranger gets in.
func TestSetAllowedLeavesNoGap(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.SetAllowed("*", "192.0.2.1"))
	done := make(chan bool)
	go func() {
		defer close(done)
		for n := range 5000 {
			switch n % 3 {
			case 0:
				must.OK(t, a.SetAllowed("*", "192.0.2.1", "192.0.2.2"))
			case 1:
				must.OK(t, a.SetDenied("*", "198.51.100.0/24"))
			default:
				must.OK(t, a.SetAllowed("*"))
			}
		}
	}()
	for asked := 0; ; asked++ {
		select {
		case <-done:
			if asked < 100 {
				t.Errorf("asked %d times only", asked)
			}
			return
		default:
		}
		if status, _ := ask(t, a, zapRequest("d", "198.51.100.7", "NULL")); status != "400" {
			t.Fatalf("a stranger: status %s", status)
		}
	}
}

// TestUnconfigure gives a domain back to "*", one mechanism at a time.
func TestUnconfigure(t *testing.T) {
	a := newAuthenticator(t, Config{})
	own, general := newCertificate(t).Public, newCertificate(t).Public
	must.OK(t, errors.Join(a.ConfigureCurveKeys("d", own), a.ConfigureCurveKeys("*", general),
		a.ConfigurePlain("d", map[string]string{"ann": "own"}),
		a.ConfigurePlain("*", map[string]string{"ann": "general"}),
		a.ConfigureGSSAPI("d")))
	accepts := func(request [][]byte) bool {
		status, _ := ask(t, a, request)
		return status == "200"
	}
	if !accepts(curveRequest("d", own)) || accepts(curveRequest("d", general)) {
		t.Error("before: not the domain's own")
	}
	must.OK(t, a.Unconfigure("d", "CURVE"))
	if accepts(curveRequest("d", own)) || !accepts(curveRequest("d", general)) {
		t.Error("CURVE: not the general setup")
	}
	if !accepts(plainRequest("d", "ann", "own")) {
		t.Error("PLAIN has gone with CURVE")
	}
	must.OK(t, errors.Join(a.Unconfigure("d", "plain"), a.Unconfigure("d", "gssapi"),
		a.Unconfigure("d", "GSSAPI")))
	if !accepts(plainRequest("d", "ann", "general")) {
		t.Error("PLAIN: not the general setup")
	}
	if !accepts(zapRequest("d", "127.0.0.1", "GSSAPI", "ann@R")) {
		t.Error("GSSAPI: not as without any setup")
	}
	must.OK(t, a.Unconfigure("*", "CURVE"))
	if accepts(curveRequest("d", general)) {
		t.Error("the general setup is still in force")
	}
	for name, err := range map[string]error{
		"NULL": a.Unconfigure("d", "NULL"), "no domain": a.Unconfigure("", "CURVE"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
