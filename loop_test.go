package zmqauth

import (
	"errors"
	"strings"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
)

// brokenSocket fails every Receive from a certain one on.
type brokenSocket struct {
	*libzmq.Handler
	broken chan bool // closed: fail
	err    error
}

func (s *brokenSocket) Receive() ([]libzmq.Message, error) {
	messages, err := s.Handler.Receive()
	select {
	case <-s.broken:
		return messages, s.err
	default:
		return messages, err
	}
}

// TestFailureKeepsTheEndpoint: a goroutine that has to give up says why, and lets nobody in.
func TestFailureKeepsTheEndpoint(t *testing.T) {
	var log logBuffer
	a := newAuthenticator(t, Config{Logger: log.logger()})
	handler, err := libzmq.Bind(a.Context(), ZAPEndpoint)
	must(t, err)
	socket := &brokenSocket{Handler: handler, broken: make(chan bool), err: errors.New("no memory")}
	a.loop = newLoop(a, socket, nil)
	a.state = stateServing
	go a.loop.run()
	zap := newZAPClient(t, a.Context())
	if reply := zap.ask(nullRequest()); reply[2] != "200" {
		t.Fatalf("status %s", reply[2])
	}
	close(socket.broken)
	socket.Wake()
	if err := a.Wait(); !errors.Is(err, socket.err) {
		t.Errorf("Wait: %v", err)
	}
	eventually(t, "it is not alive", func() bool { return !a.IsAlive() })
	if reply := zap.ask(nullRequest()); reply[2] != "400" {
		t.Errorf("status %s after the failure", reply[2])
	}
	if err := a.Start(); !errors.Is(err, socket.err) {
		t.Errorf("Start after the failure: %v", err)
	}
	must(t, a.Stop())
	other, err := New(a.Context(), &Config{Logger: quiet()})
	must(t, err)
	if err := other.Start(); !errors.Is(err, ErrHandlerBound) {
		t.Errorf("the endpoint after the failure: %v", err)
	}
	if !strings.Contains(log.String(), "no memory") {
		t.Errorf("the log does not say why: %s", log.String())
	}
	must(t, a.Close())
	if err := a.Wait(); !errors.Is(err, socket.err) {
		t.Errorf("Wait after Close: %v", err)
	}
	must(t, other.Start())
	must(t, other.Close())
}

// TestFailedSocketEndsWithTheContext: Term does not hang on an authenticator that has failed.
func TestFailedSocketEndsWithTheContext(t *testing.T) {
	ctx, err := zmq4.NewContext()
	must(t, err)
	a, err := New(ctx, &Config{Logger: quiet()})
	must(t, err)
	handler, err := libzmq.Bind(ctx, ZAPEndpoint)
	must(t, err)
	failing := &failOnce{Handler: handler}
	a.loop = newLoop(a, failing, nil)
	a.state = stateServing
	go a.loop.run()
	if err := a.Wait(); !errors.Is(err, errOnce) {
		t.Errorf("Wait: %v", err)
	}
	must(t, ctx.Term())
	must(t, a.Close())
}

var errOnce = errors.New("once")

type failOnce struct {
	*libzmq.Handler
	failed bool
}

func (s *failOnce) Receive() ([]libzmq.Message, error) {
	if !s.failed {
		s.failed = true
		return nil, errOnce
	}
	return s.Handler.Receive()
}

// TestCloseRefusesWhatHasBeenAsked: the requests that have arrived get their refusal before the socket goes.
func TestCloseRefusesWhatHasBeenAsked(t *testing.T) {
	a := startAuthenticator(t, Config{})
	zap := newZAPClient(t, a.Context())
	const requests = 500 // more than fit into one batch
	for range requests {
		zap.send(nullRequest())
	}
	must(t, a.Close())
	accepted := 0
	for range requests {
		reply, err := zap.socket.RecvMessage(zmq4.DONTWAIT)
		if err != nil {
			break
		}
		if reply[3] == "200" {
			accepted++
		}
	}
	if stats := a.Stats(); stats.Requests != stats.Allowed+stats.Denied || uint64(accepted) > stats.Allowed {
		t.Errorf("%+v, %d accepted", stats, accepted)
	}
}
