package libzmq

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pebbe/zmq4"
)

// TestMonitored follows one socket through all that may happen to its monitor. It fails where the linker leads the
// calls past us.
func TestMonitored(t *testing.T) {
	ctx := newContext(t)
	socket := func() *zmq4.Socket {
		s, err := ctx.NewSocket(zmq4.REQ)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s, other := socket(), socket()
	if err := other.Monitor("inproc://other", zmq4.EVENT_ALL); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		address string
		fails   bool
		want    bool
	}{
		{"an address that is none", "nowhere", true, false},
		{"set", "inproc://first", false, true},
		{"set another", "inproc://second", false, true},
		{"an address that is none, again", "nowhere", true, true},
		{"ended", "", false, false},
		{"set once more", "inproc://third", false, true},
		{"an address in use, which ends the one before", "inproc://other", true, false},
		{"set for the last time", "inproc://fourth", false, true},
	} {
		if err := s.Monitor(step.address, zmq4.EVENT_ALL); (err != nil) != step.fails {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got, err := Monitored(s); got != step.want || err != nil {
			t.Errorf("%s: Monitored is %v, %v; want %v", step.name, got, err, step.want)
		}
		if step.want && !step.fails { // without a reader libzmq would wait for one before it ends a monitor
			reader, err := ctx.NewSocket(zmq4.PAIR)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if err := reader.Connect(step.address); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := Monitored(other); !got || err != nil {
		t.Errorf("the other socket: %v, %v; want true", got, err)
	}
}

// TestMonitoredForgetsClosedSockets makes sockets until one lies where a closed one lay.
func TestMonitoredForgetsClosedSockets(t *testing.T) {
	ctx := newContext(t)
	for i := range 200 {
		s, err := ctx.NewSocket(zmq4.REQ)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Monitored(s); got || err != nil {
			t.Errorf("a new socket: Monitored is %v, %v", got, err)
		}
		if err := errors.Join(s.Monitor(fmt.Sprintf("inproc://monitor-%d", i), zmq4.EVENT_ALL), s.Close()); err != nil {
			t.Error(err)
		}
	}
	s, err := ctx.NewSocket(zmq4.REQ)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Monitored(s); err == nil {
		t.Error("a closed socket: no error")
	}
}
