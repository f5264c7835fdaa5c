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
