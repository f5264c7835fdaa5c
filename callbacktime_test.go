package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

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
