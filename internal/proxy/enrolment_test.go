package proxy

import (
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// TestEnrolment: the policy says in which domains unknown keys wait, and for how long. A reload
// opens no window again that has been opened.
func TestEnrolment(t *testing.T) {
	e := newEnrolment()
	follow := func(text string) {
		t.Helper()
		p, err := policyfile.Parse("/etc/policy.zpl", []byte(text))
		must.OK(t, err)
		e.follow(p)
	}
	opened := func(domain string, want bool) time.Time {
		t.Helper()
		until, ok := e.desk.OpenUntil(domain)
		if ok != want {
			t.Errorf("unknown keys of %s wait: %v", domain, ok)
		}
		return until
	}
	const window = "domain = a\n    curve = as\n    unknown = pending\n    enrol-window = 10m\n"
	follow(window + "domain = \"*\"\n    curve = all\n    unknown = pending\n" +
		"domain = b\n    curve = bs\ndomain = c\n    plain = cs\n")
	first := opened("a", true)
	if left := time.Until(first); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("a is open for %v", left)
	}
	opened("b", false) // its own directory says nothing of those who are unknown
	opened("c", true)  // by "*"
	if until := opened("d", true); !until.IsZero() {
		t.Errorf("d is open until %v", until)
	}
	for domain, want := range map[string]string{"a": "/etc/as", "b": "/etc/bs", "c": "/etc/all"} {
		if got := e.certificatesOf(domain); got != want {
			t.Errorf("the certificates of %s are in %q", domain, got)
		}
	}
	follow(window)
	if opened("a", true) != first {
		t.Error("the same window was opened again")
	}
	opened("c", false)
	follow("domain = a\n    curve = \"*\"\n")
	opened("a", false)
	if got := e.certificatesOf("a"); got != "" {
		t.Errorf("every key is let in, and the certificates are in %q", got)
	}
	follow(window)
	if !opened("a", true).After(first) {
		t.Error("a window that was closed is not opened again")
	}
}
