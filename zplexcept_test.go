package zmqauth

import (
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestExcept: Apply leaves the domains that a policy excepts as they are, with their credentials,
// addresses and suspension, whatever the policy has for them. All other domains are the policy's.
func TestExcept(t *testing.T) {
	decisions := make(chan Decision, 1)
	a := newAuthenticator(t, Config{OnDecision: func(d Decision) { decisions <- d }})
	var c Credentials
	key := newCertificate(t).Public
	must.OK(t, c.SetKey(key, Entry{}))
	must.OK(t, c.SetPrincipal("ann@REALM", Entry{}))
	must.OK(t, c.SetUser("ann", "secret", Entry{}))
	for _, domain := range []string{"kept", "other"} {
		must.OK(t, a.ConfigureCredentials(domain, &c))
		must.OK(t, a.SetAllowed(domain, "127.0.0.1"))
	}
	expect := func(domain, address, mechanism, want string, credentials ...string) {
		t.Helper()
		request := zapRequest(domain, address, mechanism, credentials...)
		if got := reasonOf(t, a, decisions, request); got != want {
			t.Errorf("%s from %s with %s: %s, not %s", domain, address, mechanism, got, want)
		}
	}
	policy, err := ParsePolicy("p", []byte("domain = kept\n    deny = 127.0.0.1\n"+
		"    gssapi = bob@REALM\ndomain = other\n    deny = 10.0.0.1\n"))
	must.OK(t, err)
	excepted := policy.Except("kept", "unheard-of")
	for range 2 { // the second time the kept setups come from a policy that was applied
		must.OK(t, a.Apply(excepted))
		expect("kept", "127.0.0.1", "CURVE", ReasonAccepted, string(key[:]))
		expect("kept", "127.0.0.1", "PLAIN", ReasonAccepted, "ann", "secret")
		expect("kept", "127.0.0.1", "GSSAPI", ReasonAccepted, "ann@REALM")
		expect("kept", "127.0.0.1", "GSSAPI", ReasonUnknownPrincipal, "bob@REALM")
		expect("kept", "10.0.0.2", "NULL", ReasonAddressDenied)
		expect("other", "10.0.0.2", "NULL", ReasonAccepted)
		expect("other", "10.0.0.2", "CURVE", ReasonNotConfigured, string(key[:]))
	}
	must.OK(t, c.SetUser("bob", "secret", Entry{})) // what is kept can be changed
	expect("kept", "127.0.0.1", "PLAIN", ReasonAccepted, "bob", "secret")
	must.OK(t, a.Suspend("kept", true))
	must.OK(t, a.Apply(excepted))
	expect("kept", "127.0.0.1", "CURVE", ReasonSuspended, string(key[:]))
	must.OK(t, a.Suspend("kept", false))
	must.OK(t, a.Apply(policy))
	expect("kept", "127.0.0.1", "CURVE", ReasonAddressDenied, string(key[:]))
	expect("kept", "10.0.0.2", "CURVE", ReasonNotConfigured, string(key[:]))
}
