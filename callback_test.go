package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/zap"
)

func plainRequest(domain, name, password string) [][]byte {
	return zapRequest(domain, "127.0.0.1", "PLAIN", name, password)
}

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

// TestCallbackTimeout: the client is told to try again. The callback keeps its place until it
// returns, and its answer is dropped.
func TestCallbackTimeout(t *testing.T) {
	a := startAuthenticator(t, Config{CallbackTimeout: 50 * time.Millisecond, MaxConcurrent: 1})
	free, ignored := make(chan bool), make(chan error, 1)
	callback := func(ctx context.Context, _, name, _ string) (*Identity, error) {
		if name == "stubborn" {
			<-free
			ignored <- ctx.Err()
		}
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	zap, other := newZAPClient(t, a.Context()), newZAPClient(t, a.Context())
	if reply := zap.ask(plainRequest("d", "stubborn", "x")); reply[2] != "300" {
		t.Fatalf("status %s, want 300", reply[2])
	}
	other.send(plainRequest("d", "ann", "x"))
	testpeer.Eventually(t, "the next one waits for the place", func() bool {
		return a.Stats().Pending == 1
	})
	if reply := zap.ask(nullRequest()); reply[2] != "200" { // and no second answer came in between
		t.Fatalf("status %s", reply[2])
	}
	free <- true
	if err := <-ignored; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the callback's context: %v", err)
	}
	if reply := other.receive(); reply[2] != "200" {
		t.Errorf("status %s of the one that waited", reply[2])
	}
	if stats := a.Stats(); stats.Temporary != 1 || stats.Allowed != 2 || stats.Requests != 3 {
		t.Errorf("%+v", stats)
	}
}

// TestTimeoutAsAnError: a callback that returns the error of its context has run out of time. It
// has not failed.
func TestTimeoutAsAnError(t *testing.T) {
	a := newAuthenticator(t, Config{CallbackTimeout: time.Millisecond})
	callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("querying: %w", ctx.Err())
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	if status, _ := ask(t, a, plainRequest("d", "ann", "x")); status != "300" {
		t.Errorf("status %s, want 300", status)
	}
}

// lateContext is a context whose deadline has passed, but which is not done yet: its timer has not
// fired.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Second), true }

// TestLateAnswer: an answer that comes after the deadline does not count, even where no timer has
// fired before it.
func TestLateAnswer(t *testing.T) {
	decisions := make(chan Decision, 1)
	a := newAuthenticator(t, Config{OnDecision: func(d Decision) { decisions <- d }})
	callback := func(context.Context, string, string, string) (*Identity, error) {
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	reply := a.HandleZAPMessage(lateContext{t.Context()}, plainRequest("d", "ann", "x"))
	if d := <-decisions; string(reply[2]) != "300" || d.Reason != ReasonCallbackTimeout {
		t.Errorf("%q, %+v", reply, d)
	}
}

// TestMaxPending: one callback runs and two requests wait, in the order in which they came. All
// others are told to try again.
func TestMaxPending(t *testing.T) {
	a := startAuthenticator(t, Config{MaxConcurrent: 1, MaxPending: 2})
	begun, free := make(chan string, 10), make(chan bool)
	callback := func(_ context.Context, _, name, _ string) (*Identity, error) {
		begun <- name
		<-free
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	zap := newZAPClient(t, a.Context())
	zap.send(plainRequest("d", "first", "x"))
	if name := <-begun; name != "first" {
		t.Fatal(name)
	}
	for _, name := range []string{"second", "third", "fourth", "fifth"} {
		zap.send(plainRequest("d", name, "x"))
	}
	for range 2 {
		if reply := zap.receive(); reply[2] != "300" {
			t.Errorf("status %s of one too many", reply[2])
		}
	}
	for _, want := range []string{"second", "third", ""} {
		free <- true
		if reply := zap.receive(); reply[2] != "200" {
			t.Errorf("status %s", reply[2])
		}
		if want != "" {
			if name := <-begun; name != want {
				t.Errorf("%s begins, want %s", name, want)
			}
		}
	}
	if stats := a.Stats(); stats.Temporary != 2 || stats.Allowed != 3 || stats.Pending != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestGoexitInCallback: a callback may end its goroutine, as t.FailNow does. Its place must not be
// lost with it.
func TestGoexitInCallback(t *testing.T) {
	a := startAuthenticator(t, Config{MaxConcurrent: 1})
	callback := func(_ context.Context, _, name, _ string) (*Identity, error) {
		if name == "leaver" {
			runtime.Goexit()
		}
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	zap := newZAPClient(t, a.Context())
	for range 3 {
		if reply := zap.ask(plainRequest("d", "leaver", "x")); reply[2] != "500" {
			t.Fatalf("status %s, want 500", reply[2])
		}
		if reply := zap.ask(plainRequest("d", "ann", "x")); reply[2] != "200" {
			t.Fatalf("status %s afterwards", reply[2])
		}
	}
}

// TestRepliesOvertake: a quick lookup is answered before a slow one that was asked first.
func TestRepliesOvertake(t *testing.T) {
	a := startAuthenticator(t, Config{})
	free := make(chan bool)
	callback := func(_ context.Context, _, name, _ string) (*Identity, error) {
		if name == "slow" {
			<-free
		}
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	zap := newZAPClient(t, a.Context())
	zap.send(plainRequest("d", "slow", "x"))
	zap.send(plainRequest("d", "quick", "x"))
	if reply := zap.receive(); reply[4] != "quick" {
		t.Errorf("%q answered first", reply[4])
	}
	free <- true
	if reply := zap.receive(); reply[4] != "slow" {
		t.Errorf("%q answered second", reply[4])
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

func TestConfigureIsChecked(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	must.OK(t, a.ConfigureCurveKeys("d", PublicKey([]byte(key32))))
	must.OK(t, a.ConfigureGSSAPI("d", "ann@EXAMPLE.ORG"))
	long := strings.Repeat("x", 256)
	for name, err := range map[string]error{
		"PLAIN, empty domain":   a.ConfigurePlain("", map[string]string{"bob": "x"}),
		"PLAIN, empty name":     a.ConfigurePlain("d", map[string]string{"": "x", "bob": "x"}),
		"PLAIN, empty password": a.ConfigurePlain("d", map[string]string{"bob": "x", "eve": ""}),
		"PLAIN, NUL in a name":  a.ConfigurePlain("d", map[string]string{"bob\x00": "x"}),
		"PLAIN, long name":      a.ConfigurePlain("d", map[string]string{long: "x"}),
		"PLAIN, long password":  a.ConfigurePlain("d", map[string]string{"bob": long}),
		"PLAIN, nil callback":   a.ConfigurePlainCallback("d", nil),
		"PLAIN callback, no domain": a.ConfigurePlainCallback("",
			func(context.Context, string, string, string) (*Identity, error) { return nil, nil }),
		"CURVE, empty domain":     a.ConfigureCurveKeys("", PublicKey([]byte(key32))),
		"CURVE, zero key":         a.ConfigureCurveKeys("d", PublicKey{1}, PublicKey{}),
		"CURVE, nil callback":     a.ConfigureCurveCallback("d", nil),
		"CURVE, no directory":     a.ConfigureCurve("d", t.TempDir()+"/none"),
		"CURVE, no location":      a.ConfigureCurve("d", ""),
		"GSSAPI, empty domain":    a.ConfigureGSSAPI("", "ann@EXAMPLE.ORG"),
		"GSSAPI, bad principal":   a.ConfigureGSSAPI("d", "bob@EXAMPLE.ORG", "bob"),
		"GSSAPI, nil callback":    a.ConfigureGSSAPICallback("d", nil),
		"addresses, empty domain": a.AllowDomain("", "127.0.0.1"),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "zmqauth: ") {
			t.Errorf("%s: error %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v shows a password", name, err)
		}
	}
	// None of these calls has changed what was in force.
	for _, request := range [][][]byte{
		plainRequest("d", "ann", "secret"), zapRequest("d", "", "CURVE", key32),
		zapRequest("d", "", "GSSAPI", "ann@EXAMPLE.ORG"),
	} {
		if status, _ := ask(t, a, request); status != "200" {
			t.Errorf("%s: status %s", request[5], status)
		}
	}
	for _, request := range [][][]byte{
		plainRequest("d", "bob", "x"), zapRequest("d", "", "GSSAPI", "bob@EXAMPLE.ORG"),
	} {
		if status, _ := ask(t, a, request); status == "200" {
			t.Errorf("%s: bob is in", request[5])
		}
	}
}

// TestWaitLimit: a client whose callback does not start in time is told to try again.
func TestWaitLimit(t *testing.T) {
	a := startAuthenticator(t, Config{MaxConcurrent: 1, CallbackTimeout: 2 * patience})
	a.callbacks.waitLimit = 10 * time.Millisecond
	begun, free := make(chan bool), make(chan bool)
	callback := func(context.Context, string, string, string) (*Identity, error) {
		begun <- true
		<-free
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	running, waiting := newZAPClient(t, a.Context()), newZAPClient(t, a.Context())
	running.send(plainRequest("d", "ann", "x"))
	<-begun
	if reply := waiting.ask(plainRequest("d", "bob", "x")); reply[2] != "300" {
		t.Errorf("status %s of the one that waited", reply[2])
	}
	free <- true
	if reply := running.receive(); reply[2] != "200" {
		t.Errorf("status %s of the one that ran", reply[2])
	}
}

// TestStopCancelsCallbacks: the contexts of callbacks end with the service, long before their
// deadlines.
func TestStopCancelsCallbacks(t *testing.T) {
	for name, stop := range map[string]func(*Authenticator) error{
		"Stop": (*Authenticator).Stop, "Close": (*Authenticator).Close,
	} {
		t.Run(name, func(t *testing.T) {
			a := startAuthenticator(t, Config{CallbackTimeout: 10 * patience})
			begun, ended := make(chan bool), make(chan error)
			callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
				begun <- true
				<-ctx.Done()
				ended <- ctx.Err()
				return &Identity{}, nil
			}
			must.OK(t, a.ConfigurePlainCallback("*", callback))
			newZAPClient(t, a.Context()).send(plainRequest("d", "ann", "x"))
			<-begun
			must.OK(t, stop(a))
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Fatal("the callback's context has not ended")
			}
		})
	}
}
