package zmqauth

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pebbe/zmq4"
)

// TestGSSAPIRoles: where libzmq has no GSSAPI they say so.
func TestGSSAPIRoles(t *testing.T) {
	zctx := newContext(t)
	for name, role := range map[string]func(*zmq4.Socket) error{
		"server":                  func(s *zmq4.Socket) error { return GSSAPIServer(s, "d", "") },
		"server with a principal": func(s *zmq4.Socket) error { return GSSAPIServer(s, "d", "zmq@localhost") },
		"client":                  func(s *zmq4.Socket) error { return GSSAPIClient(s, "", "zmq@localhost") },
		"client with a principal": func(s *zmq4.Socket) error { return GSSAPIClient(s, "ann@client", "zmq@localhost") },
	} {
		socket := newSocket(t, zctx, zmq4.PULL)
		want, wantErr := zmq4.GSSAPI, error(nil)
		if !zmq4.HasGssapi() {
			want, wantErr = zmq4.NULL, errNoGSSAPI
		}
		if err := role(socket); !errors.Is(err, wantErr) {
			t.Errorf("%s: %v, want %v", name, err, wantErr)
		}
		if mechanism, err := socket.GetMechanism(); err != nil || mechanism != want {
			t.Errorf("%s: mechanism %v, %v", name, mechanism, err)
		}
	}
}

func TestGSSAPIPrincipals(t *testing.T) {
	for _, test := range []struct {
		name    string
		allowed []string
		in, out []string
	}{
		{"all", nil, []string{"ann@EXAMPLE.ORG", "host/a@OTHER.ORG"}, nil},
		{"exact", []string{"ann@EXAMPLE.ORG", "host/a.example@EXAMPLE.ORG"},
			[]string{"ann@EXAMPLE.ORG", "host/a.example@EXAMPLE.ORG"},
			[]string{"bob@EXAMPLE.ORG", "ann@OTHER.ORG", "Ann@EXAMPLE.ORG", "ann@example.org", "ann/admin@EXAMPLE.ORG", "ann", "ann@", "@EXAMPLE.ORG"}},
		{"any user", []string{"*@EXAMPLE.ORG"}, []string{"ann@EXAMPLE.ORG", "bob@EXAMPLE.ORG"},
			[]string{"ann@OTHER.ORG", "ann/admin@EXAMPLE.ORG", "ann@EXAMPLE.ORG.EVIL", "ann@EVIL@EXAMPLE.ORG", "@EXAMPLE.ORG", `ann\@EXAMPLE.ORG`}},
		{"any host", []string{"host/*@EXAMPLE.ORG"}, []string{"host/a@EXAMPLE.ORG", "host/b.example@EXAMPLE.ORG"},
			[]string{"host@EXAMPLE.ORG", "http/a@EXAMPLE.ORG", "host/a/b@EXAMPLE.ORG", "host/@EXAMPLE.ORG", "ghost/a@EXAMPLE.ORG"}},
		{"any service of one host", []string{"*/a.example@EXAMPLE.ORG"}, []string{"host/a.example@EXAMPLE.ORG"}, []string{"host/b.example@EXAMPLE.ORG", "a.example@EXAMPLE.ORG"}},
		{"escaped", []string{`a\/b@EXAMPLE.ORG`, `*@EX\@MPLE`}, []string{`a\/b@EXAMPLE.ORG`, `x\@y@EX\@MPLE`}, []string{"a/b@EXAMPLE.ORG"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAuthenticator(t, Config{})
			must(t, a.ConfigureGSSAPI("*", test.allowed...))
			for _, principal := range slices.Concat(test.in, test.out) {
				want, user := "200", principal
				if slices.Contains(test.out, principal) {
					want, user = "999", "" // the one answer that keeps a GSSAPI client out
				}
				if status, got := ask(t, a, zapRequest("d", "127.0.0.1", "GSSAPI", principal)); status != want || got != user {
					t.Errorf("%q: status %s, user %q, want %s", principal, status, got, want)
				}
			}
		})
	}
}

func TestGSSAPIBadPrincipals(t *testing.T) {
	a := newAuthenticator(t, Config{})
	for _, entry := range []string{"", "*", "ann", "ann@", "@EXAMPLE.ORG", "an*@EXAMPLE.ORG", "**@EXAMPLE.ORG", "*@*", "ann@*.ORG", "host/@EXAMPLE.ORG",
		"/a@EXAMPLE.ORG", "ann@A@B", "ann\x00@EXAMPLE.ORG", `ann\@EXAMPLE.ORG`} {
		if err := a.ConfigureGSSAPI("d", entry); err == nil {
			t.Errorf("%q: no error", entry)
		}
	}
	// Nothing was configured: every principal that Kerberos has proved is accepted.
	if status, _ := ask(t, a, zapRequest("d", "", "GSSAPI", "ann@EXAMPLE.ORG")); status != "200" {
		t.Errorf("status %s", status)
	}
}

// TestGSSAPIRefusals: whatever the reason, the answer is one that libzmq takes for invalid, and the decision says why.
func TestGSSAPIRefusals(t *testing.T) {
	decisions := make(chan Decision, 1)
	a := newAuthenticator(t, Config{OnDecision: func(d Decision) { decisions <- d }})
	request := zapRequest("d", "127.0.0.1", "GSSAPI", "ann@EXAMPLE.ORG")
	for _, test := range []struct {
		reason string
		change func() error
	}{
		{ReasonUnknownPrincipal, func() error { return a.ConfigureGSSAPI("d", "bob@EXAMPLE.ORG") }},
		{ReasonAddressDenied, func() error { return a.Deny("127.0.0.1") }},
		{ReasonStopped, a.Stop},
	} {
		must(t, test.change())
		if status, _ := ask(t, a, request); status != "999" {
			t.Errorf("%s: status %s", test.reason, status)
		}
		if d := <-decisions; d.Status != 400 || d.Reason != test.reason {
			t.Errorf("decision %+v, want %s", d, test.reason)
		}
	}
}

// FuzzPrincipal compares what patterns name with regular expressions that say the same in other words.
func FuzzPrincipal(f *testing.F) {
	const component, realm = `(?:[^\\/@]|\\.)+`, `(?:[^\\@]|\\.)+`
	whole := regexp.MustCompile(`(?s)^` + component + `(?:/` + component + `)*@` + realm + `$`)
	part := regexp.MustCompile(`(?s)` + component + `|.`) // the realm as one, too
	a := newAuthenticator(f, Config{})
	f.Fuzz(func(t *testing.T, entry, principal string) {
		if !utf8.ValidString(entry) || !utf8.ValidString(principal) { // to package regexp, what is not UTF-8 is all the same
			return
		}
		_, wild, err := parsePrincipalPattern(entry)
		if err != nil {
			return
		}
		if !whole.MatchString(entry) {
			t.Fatalf("the entry %q is no principal", entry)
		}
		meaning := "(?s)^"
		for _, text := range part.FindAllString(entry, -1) {
			if text == "*" {
				meaning += component
			} else {
				meaning += regexp.QuoteMeta(text)
			}
		}
		want := regexp.MustCompile(meaning+"$").MatchString(principal) && (!wild || whole.MatchString(principal))
		want = want && !strings.Contains(principal, "\x00") // which is in no name, whatever the pattern
		must(t, a.ConfigureGSSAPI("*", entry))
		if got := a.policy.gssapi["*"].names(principal); got != want {
			t.Fatalf("%q names %q: %v", entry, principal, got)
		}
	})
}
