package zmqauth

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// runReactor runs a reactor until stop is called. stop returns when the reactor has ended.
func runReactor(t *testing.T, r *zmq4.Reactor) (stop func()) {
	t.Helper()
	quit, done := make(chan interface{}), make(chan error, 1)
	errQuit := errors.New("quit")
	r.AddChannel(quit, 1, func(interface{}) error { return errQuit })
	go func() { done <- r.Run(10 * time.Millisecond) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		quit <- true
		if err := <-done; !errors.Is(err, errQuit) {
			t.Errorf("the reactor ended: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestAttach(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	free := make(chan bool)
	callback := func(context.Context, string, string, string) (*Identity, error) {
		<-free
		return &Identity{UserID: "slow one"}, nil
	}
	must.OK(t, a.ConfigurePlainCallback("slow", callback))
	reactor := zmq4.NewReactor()
	must.OK(t, a.Attach(reactor))
	if err := a.Attach(reactor); err == nil {
		t.Error("attached twice")
	}
	zap := newZAPClient(t, a.Context())
	zap.send(plainRequest("d", "ann", "secret"))
	runReactor(t, reactor)
	if reply := zap.receive(); reply[2] != "200" || reply[4] != "ann" {
		t.Errorf("reply %q", reply)
	}
	// A callback does not block the reactor.
	zap.send(plainRequest("slow", "bob", "x"))
	if reply := zap.ask(plainRequest("d", "ann", "guess")); reply[2] != "400" {
		t.Errorf("reply %q", reply)
	}
	free <- true
	if reply := zap.receive(); reply[4] != "slow one" {
		t.Errorf("reply %q", reply)
	}
	zap.send(frames("too short"))
	zap.send(append(frames("9.9"), nullRequest()[1:]...))
	if reply := zap.receive(); reply[2] != "400" {
		t.Errorf("reply %q", reply)
	}
	must.OK(t, a.Stop())
	if reply := zap.ask(plainRequest("d", "ann", "secret")); reply[2] != "400" || a.IsAlive() {
		t.Errorf("stopped: reply %q", reply)
	}
	must.OK(t, a.Start())
	if reply := zap.ask(plainRequest("d", "ann", "secret")); reply[2] != "200" || !a.IsAlive() {
		t.Errorf("started again: reply %q", reply)
	}
	must.OK(t, a.Close())
	must.OK(t, a.Wait())
	if err := a.Attach(zmq4.NewReactor()); !errors.Is(err, ErrClosed) {
		t.Errorf("Attach after Close: %v", err)
	}
}

// TestAttachedOverTCP: a real client is served between the program's own sockets.
func TestAttachedOverTCP(t *testing.T) {
	a := newAuthenticator(t, Config{})
	key, client := newCertificate(t), newCertificate(t)
	must.OK(t, a.ConfigureCurveKeys("d", client.Public))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", curveServer("d", key))
	reactor := zmq4.NewReactor()
	must.OK(t, a.Attach(reactor))
	received := make(chan string, 1)
	reactor.AddSocket(server.socket, zmq4.POLLIN, func(zmq4.State) error {
		text, err := server.socket.Recv(0)
		received <- text
		return err
	})
	stop := runReactor(t, reactor)
	socket, err := connect(t, server.endpoint, curveClient(key.Public, client))
	must.OK(t, err)
	_, err = socket.Send("hello", 0)
	must.OK(t, err)
	if text := <-received; text != "hello" {
		t.Errorf("received %q", text)
	}
	stranger := curveClient(key.Public, newCertificate(t))
	if _, err := connect(t, server.endpoint, stranger); status(err) != 400 {
		t.Errorf("a stranger: %v", err)
	}
	stop()
}

// TestAttachedLifecycle: Close and the end of the context never wait for the reactor, whether it
// runs, has ended, or has never run.
func TestAttachedLifecycle(t *testing.T) {
	for name, during := range map[string]func(*testing.T, *zmq4.Reactor){
		"never run": func(*testing.T, *zmq4.Reactor) {},
		"running":   func(t *testing.T, r *zmq4.Reactor) { runReactor(t, r) },
		"ended":     func(t *testing.T, r *zmq4.Reactor) { runReactor(t, r)() },
	} {
		for end, finish := range map[string]func(*Authenticator) error{
			"Close": (*Authenticator).Close,
			"Term":  func(a *Authenticator) error { return a.Context().Term() },
		} {
			t.Run(name+", "+end, func(t *testing.T) {
				ctx, err := zmq4.NewContext()
				must.OK(t, err)
				a, err := New(ctx, &Config{Logger: quiet()})
				must.OK(t, err)
				reactor := zmq4.NewReactor()
				must.OK(t, a.Attach(reactor))
				during(t, reactor)
				must.OK(t, finish(a))
				must.OK(t, a.Wait())
				must.OK(t, errors.Join(a.Close(), ctx.Term()))
			})
		}
	}
}

// TestAttachedOverload: while the reactor does nothing, a bounded number of requests waits for it.
func TestAttachedOverload(t *testing.T) {
	a := newAuthenticator(t, Config{})
	reactor := zmq4.NewReactor()
	must.OK(t, a.Attach(reactor))
	zap := newZAPClient(t, a.Context())
	for range maxReactorQueue + 1 {
		zap.send(nullRequest())
	}
	if reply := zap.receive(); reply[2] != "300" {
		t.Errorf("status %s of one too many", reply[2])
	}
	runReactor(t, reactor)
	for range maxReactorQueue {
		if reply := zap.receive(); reply[2] != "200" {
			t.Errorf("status %s", reply[2])
		}
	}
}

// TestAttachedStop: Stop and Close refuse the requests that wait for the reactor, even where it
// never runs.
func TestAttachedStop(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.Attach(zmq4.NewReactor())) // which never runs
	zap := newZAPClient(t, a.Context())
	waiting := func(n int) {
		t.Helper()
		testpeer.Eventually(t, "the requests wait", func() bool {
			return a.loop.queue.Len() == n
		})
	}
	zap.send(nullRequest())
	waiting(1)
	must.OK(t, a.Stop())
	if reply := zap.receive(); reply[2] != "400" {
		t.Errorf("status %s of what was pending at Stop", reply[2])
	}
	if reply := zap.ask(nullRequest()); reply[2] != "400" {
		t.Errorf("status %s after Stop", reply[2])
	}
	must.OK(t, a.Start())
	zap.send(nullRequest())
	waiting(1)
	must.OK(t, a.Close())
	if stats := a.Stats(); stats.Requests != 3 || stats.Denied != 3 {
		t.Errorf("%+v", stats)
	}
}
