package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// TestWaitBeforeStart: it waits for the service to begin and to end, or for Close alone.
func TestWaitBeforeStart(t *testing.T) {
	for name, live := range map[string]func(a *Authenticator) error{
		"never started": func(*Authenticator) error { return nil },
		"started":       (*Authenticator).Start,
		"stopped before": func(a *Authenticator) error {
			return errors.Join(a.Stop(), a.Start(), a.Stop())
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthenticator(t, Config{})
			ended := make(chan error)
			go func() { ended <- a.Wait() }()
			must.OK(t, live(a))
			for range 1000 {
				runtime.Gosched()
			}
			select {
			case err := <-ended:
				t.Errorf("Wait has returned before the end: %v", err)
			default:
			}
			must.OK(t, a.Close())
			must.OK(t, <-ended)
			must.OK(t, a.Wait())
		})
	}
}

func TestStopRefusesAndStartResumes(t *testing.T) {
	a := startAuthenticator(t, Config{})
	zap := newZAPClient(t, a.Context())
	for range 3 {
		if got := zap.ask(nullRequest())[2]; got != "200" || !a.IsAlive() {
			t.Fatalf("started: status %s, alive %v", got, a.IsAlive())
		}
		must.OK(t, a.Stop())
		must.OK(t, a.Stop())
		if got := zap.ask(nullRequest())[2]; got != "400" || a.IsAlive() {
			t.Fatalf("stopped: status %s, alive %v", got, a.IsAlive())
		}
		must.OK(t, a.Start())
		must.OK(t, a.Start())
	}
}

func TestStopBeforeStart(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Stop())
	if status, _ := ask(t, a, nullRequest()); status != "400" {
		t.Errorf("status %s after Stop", status)
	}
	must.OK(t, a.Start())
	if status, _ := ask(t, a, nullRequest()); status != "200" {
		t.Errorf("status %s after Start", status)
	}
}

func TestCloseFreesTheEndpoint(t *testing.T) {
	first := startAuthenticator(t, Config{})
	second, err := New(first.Context(), &Config{Logger: quiet()})
	must.OK(t, err)
	defer func() { must.OK(t, second.Close()) }()
	if err := second.Start(); !errors.Is(err, ErrHandlerBound) {
		t.Fatalf("second Start: %v, want ErrHandlerBound", err)
	}
	if second.IsAlive() {
		t.Error("alive after a failed Start")
	}
	must.OK(t, first.Stop())
	if err := second.Start(); !errors.Is(err, ErrHandlerBound) {
		t.Fatalf("after the first one's Stop: %v, want ErrHandlerBound", err)
	}
	must.OK(t, first.Close())
	must.OK(t, first.Close())
	must.OK(t, first.Wait())
	must.OK(t, second.Start())
	if err := first.Start(); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close: %v, want ErrClosed", err)
	}
	if status, _ := ask(t, first, nullRequest()); status != "400" {
		t.Errorf("status %s of a closed authenticator", status)
	}
}

// TestStopAnswersWhatIsPending: no request from before a stop is accepted after it. That holds for
// a callback that ignores its context, and after the next Start, too.
func TestStopAnswersWhatIsPending(t *testing.T) {
	a := startAuthenticator(t, Config{MaxConcurrent: 1})
	begun, free, returned := make(chan bool, 1), make(chan bool), make(chan bool)
	callback := func(context.Context, string, string, string) (*Identity, error) {
		begun <- true
		<-free
		defer func() { returned <- true }()
		return &Identity{}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	zap := newZAPClient(t, a.Context())
	request := zapRequest("d", "127.0.0.1", "PLAIN", "ann", "x")
	zap.send(request) // runs
	<-begun
	zap.send(request) // waits
	testpeer.Eventually(t, "two are pending", func() bool { return a.Stats().Pending == 2 })
	must.OK(t, a.Stop())
	must.OK(t, a.Start())
	for range 2 {
		if reply := zap.receive(); reply[2] != "400" {
			t.Errorf("status %s, want 400", reply[2])
		}
	}
	if pending := a.Stats().Pending; pending != 0 {
		t.Errorf("%d pending", pending)
	}
	zap.send(request) // waits for the place that the stubborn callback still has
	free <- true
	<-returned
	<-begun
	free <- true
	<-returned
	if reply := zap.receive(); reply[2] != "200" {
		t.Errorf("status %s of the one asked after Start, want 200", reply[2])
	}
}

// TestNothingLeaks counts goroutines and descriptors, which libzmq's sockets hold, before and after
// many authenticators.
func TestNothingLeaks(t *testing.T) {
	ctx := testzmq.NewContext(t)
	// A first authenticator has libzmq make whatever it makes once for a context.
	warm, err := New(ctx, &Config{Logger: quiet()})
	must.OK(t, err)
	must.OK(t, errors.Join(warm.Start(), warm.Close()))
	goroutines, descriptors := runtime.NumGoroutine(), testpeer.Descriptors()

	for range 200 {
		a, err := New(ctx, &Config{Logger: quiet()})
		must.OK(t, err)
		must.OK(t, a.Start())
		must.OK(t, a.Close())
	}
	a, err := New(ctx, &Config{Logger: quiet()})
	must.OK(t, err)
	for range 200 {
		must.OK(t, errors.Join(a.Start(), a.Stop()))
	}
	must.OK(t, a.Close())
	testpeer.Eventually(t, "no goroutine is left", func() bool {
		return runtime.NumGoroutine() <= goroutines
	})
	// libzmq closes sockets later, in a thread of its own.
	testpeer.Eventually(t, "no descriptor is left", func() bool {
		return testpeer.Descriptors() <= descriptors
	})
}

// TestEveryMethodAtOnce calls all methods from many goroutines under load, for the race detector.
func TestEveryMethodAtOnce(t *testing.T) {
	a := startAuthenticator(t, Config{
		OnDecision:  func(Decision) {},
		CurveUserID: func(PublicKey) string { return "u" },
	})
	keys := newCertificate(t)
	dir := t.TempDir()
	calls := []func() error{
		a.Start, a.Stop,
		func() error { a.IsAlive(); a.Stats(); a.Context(); return nil },
		func() error { return a.Allow("127.0.0.1", "10.0.0.0/8") },
		func() error { return a.DenyDomain("d", "192.0.2.1") },
		func() error { a.ResetAddresses(); return nil },
		func() error { return a.ConfigurePlain("*", map[string]string{"ann": "secret"}) },
		func() error {
			return a.ConfigurePlainCallback("slow",
				func(context.Context, string, string, string) (*Identity, error) {
					return nil, ErrTemporary
				})
		},
		func() error { return a.ConfigureCurve("*", dir) },
		func() error { return a.ConfigureCurveKeys("*", keys.Public) },
		func() error {
			return a.ConfigureCurveCallback("slow",
				func(context.Context, string, PublicKey) (*Identity, error) {
					return &Identity{}, nil
				})
		},
		func() error { return a.ConfigureGSSAPI("*", "*@EXAMPLE.ORG") },
		func() error {
			return a.ConfigureGSSAPICallback("slow",
				func(context.Context, string, string) (*Identity, error) {
					panic("x")
				})
		},
		func() error { a.HandleZAPMessage(context.Background(), nullRequest()); return nil },
	}
	var callers, askers sync.WaitGroup
	stop := make(chan bool)
	for i := range 2 * len(calls) {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for {
				select {
				case <-stop:
					return
				default:
					if err := calls[i%len(calls)](); err != nil {
						t.Error(err)
						return
					}
				}
			}
		}()
	}
	for i := range 4 {
		askers.Add(1)
		client := newZAPClient(t, a.Context())
		go func() {
			defer askers.Done()
			requests := [][][]byte{
				nullRequest(),
				zapRequest("slow", "127.0.0.1", "PLAIN", "ann", "x"),
				zapRequest("d", "127.0.0.1", "CURVE", string(keys.Public[:])),
				zapRequest("slow", "::1", "CURVE", string(keys.Public[:])),
				nil,
			}
			for n := range 500 {
				request := requests[(n+i)%len(requests)]
				if request == nil { // each time another principal: refusals of one are held back
					request = zapRequest("slow", "::1", "GSSAPI", fmt.Sprintf("ann%d-%d@EXAMPLE.ORG", i, n))
				}
				if _, err := client.socket.SendMessage(append([][]byte{nil}, request...)); err != nil {
					t.Error(err)
					return
				}
				reply, err := client.socket.RecvMessage(0)
				if err != nil || len(reply) != zap.ReplyFrames+1 {
					t.Errorf("reply %q, %v", reply, err)
					return
				}
			}
		}()
	}
	askers.Wait()
	close(stop)
	callers.Wait()
	must.OK(t, a.Start())
	must.OK(t, a.ConfigureCurveKeys("*", keys.Public))
	a.ResetAddresses()
	status, user := ask(t, a, zapRequest("d", "127.0.0.1", "CURVE", string(keys.Public[:])))
	if status != "200" || user != "u" {
		t.Errorf("afterwards a good client gets status %s, user %q", status, user)
	}
}

func TestDefaultContext(t *testing.T) {
	a, err := New(nil, nil)
	must.OK(t, err)
	socket, err := zmq4.NewSocket(zmq4.PAIR)
	must.OK(t, err)
	defer func() { must.OK(t, socket.Close()) }()
	ctx, err := socket.Context()
	must.OK(t, err)
	if a.Context() != ctx {
		t.Error("not zmq4's default context")
	}
	must.OK(t, errors.Join(a.Start(), a.Close()))
}
