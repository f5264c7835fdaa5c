//go:build linux

package front

import (
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestFront: clients of all mechanisms get through, and are known by their true addresses.
func TestFront(t *testing.T) {
	for _, mechanism := range []string{"NULL", "PLAIN", "CURVE"} {
		for _, endpoint := range []string{"tcp://127.0.0.1:*", "tcp://*:0", "tcp://[::1]:*",
			"tcp://[::]:*", "tcp://lo:*"} {
			t.Run(mechanism+" "+endpoint, func(t *testing.T) { testFront(t, mechanism, endpoint) })
		}
	}
}

func testFront(t *testing.T, mechanism, endpoint string) {
	if endpoint == "tcp://[::1]:*" || endpoint == "tcp://[::]:*" {
		testpeer.NeedIPv6(t)
	}
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, mechanism, endpoint, nil)
	c := s.connected(t, testzmq.NewContext(t), zmq4.DEALER)
	for _, text := range []string{"one", "two", "three"} {
		_, err := c.Send(text, 0)
		must.OK(t, err)
		frames, err := s.socket.RecvMessage(0)
		must.OK(t, err)
		_, err = s.socket.SendMessage(frames)
		must.OK(t, err)
		got, err := c.Recv(0)
		if err != nil || got != text {
			t.Fatalf("%q, %v", got, err)
		}
	}
	got := s.sessions(t, 1)[0]
	want := "127.0.0.1"
	if endpoint == "tcp://[::1]:*" || endpoint == "tcp://[::]:*" {
		want = "::1"
	}
	decision := <-s.decisions
	if got.Client.Addr().String() != want || got.Client.Port() == 0 || !got.Exact ||
		decision.Address != want {
		t.Errorf("%+v, %+v", got, decision)
	}
}
