package zmqauth

import (
	"sync/atomic"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestSuspend: who is in a suspended domain, or has a suspended entry, is told to try again. Who
// would not be let in anyway is refused.
func TestSuspend(t *testing.T) {
	decisions := make(chan Decision, 1)
	a := newAuthenticator(t, Config{OnDecision: func(d Decision) { decisions <- d }})
	key, other := newCertificate(t).Public, newCertificate(t).Public
	var c Credentials
	must.OK(t, c.SetKey(key, Entry{}))
	must.OK(t, c.SetUser("ann", "secret", Entry{}))
	must.OK(t, c.SetPrincipal("ann@REALM", Entry{}))
	must.OK(t, a.ConfigureCredentials("d", &c))
	must.OK(t, a.ConfigureCredentials("e", &c))
	requests := func(domain string) map[string][][]byte {
		return map[string][][]byte{
			"key":       zapRequest(domain, "127.0.0.1", "CURVE", string(key[:])),
			"user":      zapRequest(domain, "127.0.0.1", "PLAIN", "ann", "secret"),
			"principal": zapRequest(domain, "127.0.0.1", "GSSAPI", "ann@REALM"),
			"NULL":      zapRequest(domain, "127.0.0.1", "NULL"),
		}
	}
	expect := func(domain, want string, but ...string) {
		t.Helper()
		for name, request := range requests(domain) {
			if got := reasonOf(t, a, decisions, request); got != want && name != "NULL" ||
				name == "NULL" && got != append(but, want)[0] {
				t.Errorf("%s, %s: %s, not %s", domain, name, got, want)
			}
		}
	}
	expect("d", ReasonAccepted)
	must.OK(t, a.Suspend("d", true))
	must.OK(t, a.Suspend("d", true))
	expect("d", ReasonSuspended)
	expect("e", ReasonAccepted)
	must.OK(t, a.ConfigureCredentials("d", &c)) // configuring does not end it
	expect("d", ReasonSuspended)
	must.OK(t, a.Suspend("d", false))
	expect("d", ReasonAccepted)
	var until atomic.Bool
	until.Store(true)
	must.OK(t, a.SuspendWhile("d", until.Load))
	expect("d", ReasonSuspended)
	until.Store(false) // nobody calls the Authenticator
	expect("d", ReasonAccepted)
	must.OK(t, a.SuspendWhile("d", nil))
	must.OK(t, a.Suspend(AnyDomain, true))
	expect("d", ReasonSuspended)
	expect("e", ReasonSuspended)
	must.OK(t, a.Suspend(AnyDomain, false))

	must.OK(t, c.SetKey(key, Entry{Suspended: true}))
	must.OK(t, c.SetUser("ann", "secret", Entry{Suspended: true}))
	must.OK(t, c.SetPrincipal("ann@REALM", Entry{Suspended: true}))
	expect("d", ReasonSuspended, ReasonAccepted)
	for name, request := range map[string][][]byte{
		ReasonUnknownKey:    zapRequest("d", "127.0.0.1", "CURVE", string(other[:])),
		ReasonWrongPassword: zapRequest("d", "127.0.0.1", "PLAIN", "ann", "wrong"),
	} {
		if got := reasonOf(t, a, decisions, request); got != name {
			t.Errorf("%s, not %s", got, name)
		}
	}
	if err := a.Suspend("", true); err == nil {
		t.Error("a domain without a name can be suspended")
	}
}

// TestSuspendedSessions: a suspended domain keeps its sessions; a suspended key loses its own.
func TestSuspendedSessions(t *testing.T) {
	j := newJudged(t, Config{})
	must.OK(t, j.creds.SetKey(j.ann.Public, Entry{}))
	must.OK(t, j.a.ConfigureCredentials("d", &j.creds))
	s := j.connect("CURVE", "tcp://127.0.0.1:*")
	must.OK(t, j.a.Suspend("d", true))
	by := proof{key: s.Key, address: "127.0.0.1"}
	_, ok := by.judge(j.a.policy.Load(), session.Session{Domain: "d", Mechanism: "CURVE"})
	if !ok || !j.a.Alive(s.ID) {
		t.Error("a session of a suspended domain would end")
	}
	must.OK(t, j.creds.SetKey(j.ann.Public, Entry{Suspended: true}))
	testpeer.Eventually(t, "the session has ended", func() bool { return !j.a.Alive(s.ID) })
}
