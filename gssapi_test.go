package zmqauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestGSSAPIRoles: where libzmq has no GSSAPI, the roles say so.
func TestGSSAPIRoles(t *testing.T) {
	zctx := testzmq.NewContext(t)
	for name, role := range map[string]func(*zmq4.Socket) error{
		"server": func(s *zmq4.Socket) error {
			return GSSAPIServer(s, "d", "")
		},
		"server with a principal": func(s *zmq4.Socket) error {
			return GSSAPIServer(s, "d", "zmq@localhost")
		},
		"client": func(s *zmq4.Socket) error {
			return GSSAPIClient(s, "", "zmq@localhost")
		},
		"client with a principal": func(s *zmq4.Socket) error {
			return GSSAPIClient(s, "ann@client", "zmq@localhost")
		},
	} {
		socket := testzmq.NewSocket(t, zctx, zmq4.PULL)
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

// TestGSSAPIPrincipals: only the principals that are named get in. Package principal has the cases
// of what a pattern names.
func TestGSSAPIPrincipals(t *testing.T) {
	for _, test := range []struct {
		name    string
		allowed []string
		in, out []string
	}{
		{"none", nil, nil, []string{"ann@EXAMPLE.ORG", "host/a@OTHER.ORG"}},
		{
			"all", []string{GSSAPIAllowAny},
			[]string{"ann@EXAMPLE.ORG", "host/a@OTHER.ORG"}, nil,
		},
		{
			"all, and one besides", []string{"bob@EXAMPLE.ORG", "*"},
			[]string{"ann@EXAMPLE.ORG"}, nil,
		},
		{
			"exact and any host",
			[]string{"ann@EXAMPLE.ORG", "host/*@EXAMPLE.ORG"},
			[]string{"ann@EXAMPLE.ORG", "host/a.example@EXAMPLE.ORG"},
			[]string{
				"bob@EXAMPLE.ORG", "ann@OTHER.ORG", "host/a/b@EXAMPLE.ORG",
				"ann", "ann@", "@EXAMPLE.ORG", `ann\@EXAMPLE.ORG`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAuthenticator(t, Config{})
			must.OK(t, a.ConfigureGSSAPI("*", test.allowed...))
			for _, principal := range slices.Concat(test.in, test.out) {
				want, user := "200", principal
				if slices.Contains(test.out, principal) {
					want, user = "999", "" // the one answer that keeps a GSSAPI client out
				}
				status, got := ask(t, a, zapRequest("d", "127.0.0.1", "GSSAPI", principal))
				if status != want || got != user {
					t.Errorf("%q: status %s, user %q, want %s", principal, status, got, want)
				}
			}
		})
	}
}

// TestGSSAPIBadPrincipals: a bad principal is an error and configures nothing. Package principal
// has the cases of what is no pattern.
func TestGSSAPIBadPrincipals(t *testing.T) {
	a := newAuthenticator(t, Config{})
	for _, entry := range []string{"", "**", "*@*"} {
		err := a.ConfigureGSSAPI("d", "bob@EXAMPLE.ORG", entry)
		prefix := fmt.Sprintf("zmqauth: domain \"d\": principal %q: ", entry)
		if err == nil || !strings.HasPrefix(err.Error(), prefix) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	// Nothing was configured: every principal that Kerberos has proved is accepted.
	status, _ := ask(t, a, zapRequest("d", "", "GSSAPI", "ann@EXAMPLE.ORG"))
	if status != "200" {
		t.Errorf("status %s", status)
	}
}

// TestGSSAPIRefusals: whatever the reason, the reply's status is one that libzmq takes for invalid.
// The decision gives the reason.
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
		must.OK(t, test.change())
		if status, _ := ask(t, a, request); status != "999" {
			t.Errorf("%s: status %s", test.reason, status)
		}
		if d := <-decisions; d.Status != 400 || d.Reason != test.reason {
			t.Errorf("decision %+v, want %s", d, test.reason)
		}
	}
}
