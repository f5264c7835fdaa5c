package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// TestCallbackAnswers is the table of what a callback may return, for each mechanism that has one.
func TestCallbackAnswers(t *testing.T) {
	for _, test := range []struct {
		name         string
		identity     *Identity
		err          error
		panics       any
		status       string
		gssapiStatus string
		reason       string
		user         string // "": the mechanism's default
	}{
		{
			name: "accepted", identity: &Identity{}, status: "200", gssapiStatus: "200",
			reason: ReasonAccepted,
		},
		{
			name: "named", identity: &Identity{UserID: "ann", Metadata: map[string]string{"Role": "x"}},
			status: "200", gssapiStatus: "200", reason: ReasonAccepted, user: "ann",
		},
		{name: "nothing", status: "400", gssapiStatus: "999", reason: ReasonCallbackDenied},
		{
			name: "denied", err: ErrDenied, status: "400", gssapiStatus: "999", reason: ReasonCallbackDenied,
		},
		{
			name: "denied, wrapped", err: fmt.Errorf("not today: %w", ErrDenied), status: "400",
			gssapiStatus: "999", reason: ReasonCallbackDenied,
		},
		{
			name: "denied with an identity", identity: &Identity{UserID: "ann"}, err: ErrDenied,
			status: "400", gssapiStatus: "999", reason: ReasonCallbackDenied,
		},
		{
			name: "denied and temporary", err: errors.Join(ErrTemporary, ErrDenied), status: "400",
			gssapiStatus: "999", reason: ReasonCallbackDenied,
		},
		{
			name: "temporary", err: fmt.Errorf("later: %w", ErrTemporary), status: "300",
			gssapiStatus: "999", reason: ReasonTryAgain,
		},
		{
			name: "error", err: errors.New("no database"), status: "500", gssapiStatus: "999",
			reason: ReasonCallbackError,
		},
		{
			name: "error with an identity", identity: &Identity{UserID: "ann"},
			err: errors.New("no database"), status: "500", gssapiStatus: "999", reason: ReasonCallbackError,
		},
		{name: "panic", panics: "boom", status: "500", gssapiStatus: "999", reason: ReasonCallbackPanic},
		{
			name: "panic with an error", panics: ErrDenied, status: "500", gssapiStatus: "999",
			reason: ReasonCallbackPanic,
		},
		{
			name: "NUL in the user id", identity: &Identity{UserID: "ann\x00root"}, status: "500",
			gssapiStatus: "999", reason: ReasonCallbackError,
		},
		{
			name: "NUL in a value", identity: &Identity{Metadata: map[string]string{"Role": "a\x00"}},
			status: "500", gssapiStatus: "999", reason: ReasonCallbackError,
		},
		{
			name: "bad name", identity: &Identity{Metadata: map[string]string{"Ro le": "a"}}, status: "500",
			gssapiStatus: "999", reason: ReasonCallbackError,
		},
		{
			name: "libzmq's name", identity: &Identity{Metadata: map[string]string{"User-Id": "root"}},
			status: "500", gssapiStatus: "999", reason: ReasonCallbackError,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			decisions := make(chan Decision, 10)
			a := startAuthenticator(t, Config{OnDecision: func(d Decision) { decisions <- d }})
			answer := func() (*Identity, error) {
				if test.panics != nil {
					panic(test.panics)
				}
				return test.identity, test.err
			}
			must.OK(t, errors.Join(
				a.ConfigurePlainCallback("*", func(context.Context, string, string, string) (*Identity, error) {
					return answer()
				}),
				a.ConfigureCurveCallback("*", func(context.Context, string, PublicKey) (*Identity, error) {
					return answer()
				}),
				a.ConfigureGSSAPICallback("*", func(context.Context, string, string) (*Identity, error) {
					return answer()
				})))
			client := newZAPClient(t, a.Context())
			for _, request := range [][][]byte{
				plainRequest("d", "bob", "x"),
				zapRequest("d", "127.0.0.1", "CURVE", key32),
				zapRequest("d", "127.0.0.1", "GSSAPI", "bob@EXAMPLE.ORG"),
			} {
				mechanism, want, user := string(request[5]), test.status, test.user
				if mechanism == zap.MechanismGSSAPI {
					want = test.gssapiStatus
				}
				if user == "" && want == "200" {
					user = map[string]string{
						"PLAIN":  "bob",
						"CURVE":  PublicKey([]byte(key32)).String(),
						"GSSAPI": "bob@EXAMPLE.ORG",
					}[mechanism]
				}
				reply := client.ask(request)
				if reply[2] != want || reply[4] != user {
					t.Errorf("%s: status %s, user %q, want %s, %q", mechanism, reply[2], reply[4], want, user)
				}
				if want != "200" && reply[5] != "" {
					t.Errorf("%s: a refusal with metadata %q", mechanism, reply[5])
				}
				decision := <-decisions
				if decision.Reason != test.reason || decision.Mechanism != mechanism ||
					fmt.Sprint(decision.Status) != test.status || decision.UserID != user {
					t.Errorf("%s: decision %+v", mechanism, decision)
				}
			}
		})
	}
}

// TestCallbacksMayCallBack: every method may be called from a callback, Stop and Close too.
func TestCallbacksMayCallBack(t *testing.T) {
	for name, call := range map[string]func(*Authenticator) error{
		"Stop":      (*Authenticator).Stop,
		"Close":     (*Authenticator).Close,
		"Allow":     func(a *Authenticator) error { return a.Allow("127.0.0.1") },
		"Configure": func(a *Authenticator) error { return a.ConfigurePlain("*", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			called := make(chan error, 1)
			a := startAuthenticator(t, Config{})
			callback := func(context.Context, string, string, string) (*Identity, error) {
				called <- call(a)
				return &Identity{}, nil
			}
			must.OK(t, a.ConfigurePlainCallback("*", callback))
			newZAPClient(t, a.Context()).send(plainRequest("d", "ann", "x"))
			must.OK(t, <-called)
		})
	}
}

func TestBadUserNameNeverReachesTheCallback(t *testing.T) {
	a := newAuthenticator(t, Config{})
	callback := func(context.Context, string, string, string) (*Identity, error) {
		t.Error("called")
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	for _, name := range []string{"root\x00x", "\x00", strings.Repeat("x", 256)} {
		if status, _ := ask(t, a, plainRequest("d", name, "x")); status != "400" {
			t.Errorf("%.10q: status %s", name, status)
		}
	}
}
