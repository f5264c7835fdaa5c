package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// These tests terminate the context at every step of an authenticator's life.

// TestContextEndsBetweenCalls: Term does not hang. The authenticator is closed then, and every
// later call says so.
func TestContextEndsBetweenCalls(t *testing.T) {
	testpeer.NothingLeft(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "passwords")
	must.OK(t, os.WriteFile(file, []byte("ann=secret\n"), 0o600))
	for _, test := range []struct {
		name   string
		before func(*Authenticator) error
		served bool // it has had an endpoint, and so notices the end of the context
	}{
		{"before Start", func(*Authenticator) error { return nil }, false},
		{"started", (*Authenticator).Start, true},
		{"stopped", func(a *Authenticator) error { return errors.Join(a.Start(), a.Stop()) }, true},
		{"stopped before it was started", (*Authenticator).Stop, false},
		{
			"started again",
			func(a *Authenticator) error { return errors.Join(a.Start(), a.Stop(), a.Start()) }, true,
		},
		{"following", func(a *Authenticator) error {
			return errors.Join(a.ConfigureCurve("d", dir), a.ConfigurePlainFile("d", file), a.Start())
		}, true},
		{"attached", attach(t), true},
		{"closed", func(a *Authenticator) error { return errors.Join(a.Start(), a.Close()) }, true},
		{"closed before it was started", (*Authenticator).Close, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, err := zmq4.NewContext()
			must.OK(t, err)
			a, err := New(ctx, &Config{Logger: quiet()})
			must.OK(t, err)
			must.OK(t, test.before(a))
			must.OK(t, ctx.Term())
			if test.served { // else nobody knows of the context's end yet
				must.OK(t, a.Wait())
			}
			if a.IsAlive() {
				t.Error("alive after the context's end")
			}
			if test.served {
				for name, err := range map[string]error{
					"ConfigureCurve":     a.ConfigureCurve("e", dir),
					"ConfigurePlainFile": a.ConfigurePlainFile("e", file),
				} {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("%s: %v, want ErrClosed", name, err)
					}
				}
				if status, _ := ask(t, a, nullRequest()); status != "400" {
					t.Errorf("status %s", status)
				}
			}
			must.OK(t, errors.Join(a.Stop(), a.Stop(), a.Close(), a.Close(), a.Wait()))
			for name, err := range map[string]error{
				"Start": a.Start(), "Attach": a.Attach(zmq4.NewReactor()),
				"Allow": a.Allow("127.0.0.1"), "SetDenied": a.SetDenied("d"),
				"RemoveAddresses":      a.RemoveAddresses("d"),
				"ConfigurePlain":       a.ConfigurePlain("d", nil),
				"ConfigureCurveKeys":   a.ConfigureCurveKeys("d"),
				"ConfigureCurve":       a.ConfigureCurve("d", CurveAllowAny),
				"ConfigureGSSAPI":      a.ConfigureGSSAPI("d"),
				"ConfigureCredentials": a.ConfigureCredentials("d", new(Credentials)),
				"Unconfigure":          a.Unconfigure("d", "CURVE"),
				"Apply":                a.Apply(new(Policy)),
			} {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("%s: %v, want ErrClosed", name, err)
				}
			}
			a.ResetAddresses()
			if status, _ := ask(t, a, nullRequest()); status != "400" {
				t.Errorf("status %s in the end", status)
			}
		})
	}
}

// TestContextEndsBeforeNew: New does not use the context, so Start reports that it has ended. With
// zmq4's default context New itself reports it.
func TestContextEndsBeforeNew(t *testing.T) {
	ctx, err := zmq4.NewContext()
	must.OK(t, err)
	must.OK(t, ctx.Term())
	a, err := New(ctx, &Config{Logger: quiet()})
	must.OK(t, err)
	if err := a.Start(); !errors.Is(err, ErrClosed) {
		t.Errorf("Start: %v, want ErrClosed", err)
	}
	must.OK(t, a.Close())
	if !testpeer.Child(t, nil) { // a child process has a default context of its own
		return
	}
	must.OK(t, zmq4.Term())
	if _, err := New(nil, nil); err == nil ||
		!strings.HasPrefix(err.Error(), "zmqauth: zmq4's default context: ") {
		t.Errorf("New: %v", err)
	}
}

// attach attaches to a reactor that runs only when the test is over, and then meets whatever has
// been left to do.
func attach(t *testing.T) func(*Authenticator) error {
	return func(a *Authenticator) error {
		reactor := zmq4.NewReactor()
		err := a.Attach(reactor)
		if err == nil {
			// It runs until it has no socket left, which is an error.
			t.Cleanup(func() { _ = reactor.Run(time.Millisecond) })
		}
		return err
	}
}

// ending is a context that is terminated through a copy of it, because zmq4 does not guard a
// Context against two goroutines. Its Term returns only once finish is called.
type ending struct {
	ctx   *zmq4.Context
	other zmq4.Context
	guard *zmq4.Socket // while it is open, Term does not return
	done  chan error
}

func newEnding(t *testing.T) *ending {
	t.Helper()
	ctx, err := zmq4.NewContext()
	must.OK(t, err)
	guard, err := ctx.NewSocket(zmq4.PAIR)
	must.OK(t, err)
	return &ending{ctx: ctx, other: *ctx, guard: guard, done: make(chan error, 1)}
}

// begin starts Term.
func (e *ending) begin() { go func() { e.done <- e.other.Term() }() }

// begun waits until libzmq has begun to terminate the context.
func (e *ending) begun(t *testing.T) {
	t.Helper()
	testpeer.Eventually(t, "the context is terminating", func() bool {
		_, err := e.guard.RecvBytes(zmq4.DONTWAIT)
		return errors.Is(err, zmq4.ETERM)
	})
}

// finish waits for the end of Term.
func (e *ending) finish(t *testing.T) {
	t.Helper()
	must.OK(t, e.guard.Close())
	must.OK(t, <-e.done)
	*e.ctx = e.other
}

// TestContextEndsDuringCalls: the context ends somewhere during a call, or just before it.
func TestContextEndsDuringCalls(t *testing.T) {
	testpeer.NothingLeft(t)
	dir := t.TempDir()
	must.OK(t, newCertificate(t).SavePublic(filepath.Join(dir, "ann.key")))
	file := filepath.Join(t.TempDir(), "passwords")
	must.OK(t, os.WriteFile(file, []byte("ann=secret\n"), 0o600))
	start := (*Authenticator).Start
	for _, test := range []struct {
		name   string
		before func(*Authenticator) error // nil: nothing
		call   func(*Authenticator) error
	}{
		{"Start", nil, start},
		{"Start again", func(a *Authenticator) error { return errors.Join(a.Start(), a.Stop()) }, start},
		{"Attach", nil, attach(t)},
		{"Stop", start, (*Authenticator).Stop},
		{
			"Stop and Start", start,
			func(a *Authenticator) error { return errors.Join(a.Stop(), a.Start()) },
		},
		{"Close", start, (*Authenticator).Close},
		{"Close before Start", nil, (*Authenticator).Close},
		{"ConfigureCurve", start, func(a *Authenticator) error { return a.ConfigureCurve("d", dir) }},
		{
			"ConfigurePlainFile", start,
			func(a *Authenticator) error { return a.ConfigurePlainFile("d", file) },
		},
		{
			"ConfigurePlain", start,
			func(a *Authenticator) error {
				return a.ConfigurePlain("d", map[string]string{"ann": "secret"})
			},
		},
		{"ConfigureCurveKeys", start, func(a *Authenticator) error { return a.ConfigureCurveKeys("d") }},
		{"Deny", start, func(a *Authenticator) error { return a.Deny("192.0.2.1") }},
		{"HandleZAPMessage", start, func(a *Authenticator) error {
			callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
				<-ctx.Done()
				return &Identity{}, nil
			}
			if err := a.ConfigurePlainCallback("*", callback); err != nil {
				return err
			}
			reply := a.HandleZAPMessage(t.Context(), plainRequest("d", "ann", "x"))
			if string(reply[2]) != "400" {
				return fmt.Errorf("reply %q", reply)
			}
			return nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for round := range 30 {
				e := newEnding(t)
				a, err := New(e.ctx, &Config{Logger: quiet()})
				must.OK(t, err)
				if test.before != nil {
					must.OK(t, test.before(a))
				}
				e.begin()
				if round%3 == 0 {
					e.begun(t)
				}
				if err := test.call(a); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				e.finish(t)
				must.OK(t, a.Wait())
				if a.IsAlive() {
					t.Error("alive after the context's end")
				}
				must.OK(t, a.Close())
				if err := a.Start(); !errors.Is(err, ErrClosed) {
					t.Errorf("Start: %v, want ErrClosed", err)
				}
			}
		})
	}
}

// TestContextEndsDuringConnect: the context of a client ends during Connect.
func TestContextEndsDuringConnect(t *testing.T) {
	testpeer.NothingLeft(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	must.OK(t, err)
	defer listener.Close()
	endpoint := "tcp://" + listener.Addr().String()
	for round := range 20 {
		e := newEnding(t)
		socket, err := e.ctx.NewSocket(zmq4.PUSH)
		must.OK(t, err)
		must.OK(t, socket.SetLinger(0))
		if round%2 == 0 {
			e.begin()
		} else {
			go func() { // the context ends once Connect waits for the handshake
				if connection, err := listener.Accept(); err == nil {
					e.begin()
					_ = connection.Close()
				}
			}()
		}
		err = Connect(t.Context(), socket, endpoint)
		if err == nil || !strings.HasPrefix(err.Error(), "zmqauth: "+endpoint+": ") ||
			!errors.Is(err, zmq4.ETERM) {
			t.Errorf("%v", err)
		}
		must.OK(t, socket.Close())
		e.finish(t)
	}
}

// TestContextEndsWhileCallbacksRun: the contexts of the callbacks end, and their requests are
// refused.
func TestContextEndsWhileCallbacksRun(t *testing.T) {
	ctx, err := zmq4.NewContext()
	must.OK(t, err)
	a, err := New(ctx, &Config{Logger: quiet(), CallbackTimeout: 10 * patience})
	must.OK(t, err)
	begun, ended := make(chan bool), make(chan bool)
	callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
		begun <- true
		<-ctx.Done()
		ended <- true
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	must.OK(t, a.Start())
	client, err := ctx.NewSocket(zmq4.DEALER)
	must.OK(t, err)
	must.OK(t, client.Connect(ZAPEndpoint))
	_, err = client.SendMessage("", "1.0", "1", "d", "127.0.0.1", "", "PLAIN", "ann", "x")
	must.OK(t, err)
	<-begun
	must.OK(t, client.Close())
	must.OK(t, ctx.Term())
	<-ended // its context ends with the service
	must.OK(t, a.Wait())
	if stats := a.Stats(); stats.Requests != 1 || stats.Denied != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestContextEndsUnderLoad: the context ends amid batches of requests, some of them with callbacks.
// Each request that was received is counted and reported once, and none is left open.
func TestContextEndsUnderLoad(t *testing.T) {
	testpeer.NothingLeft(t)
	for round := range 10 {
		e := newEnding(t)
		var reported atomic.Uint64
		a, err := New(e.ctx, &Config{Logger: quiet(), OnDecision: func(Decision) { reported.Add(1) }})
		must.OK(t, err)
		callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
			<-ctx.Done()
			return &Identity{}, nil
		}
		must.OK(t, a.ConfigurePlainCallback("*", callback))
		must.OK(t, a.Start())
		client, err := e.ctx.NewSocket(zmq4.DEALER)
		must.OK(t, err)
		must.OK(t, errors.Join(
			client.SetLinger(0), client.SetSndhwm(0), client.SetRcvhwm(0),
			client.Connect(ZAPEndpoint)))
		for i := range 3000 {
			request := nullRequest()
			if i%10 == 0 {
				request = plainRequest("d", "ann", "x")
			}
			_, err := client.SendMessage(append([][]byte{nil}, request...))
			must.OK(t, err)
		}
		testpeer.Eventually(t, "it is busy", func() bool {
			return a.Stats().Requests > uint64(round*100)
		})
		e.begin()
		must.OK(t, a.Wait())
		stats := a.Stats()
		if stats.Requests != stats.Allowed+stats.Denied || stats.Pending != 0 || stats.Denied == 0 {
			t.Errorf("%+v", stats)
		}
		testpeer.Eventually(t, "all are reported once", func() bool {
			return reported.Load() >= stats.Requests
		})
		waitForReports(t, a)
		if reported := reported.Load(); reported != stats.Requests {
			t.Errorf("%d reports of %d requests", reported, stats.Requests)
		}
		must.OK(t, client.Close())
		e.finish(t)
	}
}
