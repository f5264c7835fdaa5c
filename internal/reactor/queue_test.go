package reactor

import (
	"errors"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestQueue: items are handled in their order, on the reactor's goroutine; beyond the limit there
// is no room; what was taken away is not handled; after the end the reactor has no socket.
func TestQueue(t *testing.T) {
	r := zmq4.NewReactor()
	q, err := NewQueue[int](r, 3)
	must.OK(t, err)
	handled := make(chan int, 10)
	q.Attach(func(n int) { handled <- n })
	for n := range 3 {
		if !q.Add(n) {
			t.Fatalf("no room for item %d", n)
		}
	}
	if q.Add(3) || q.Len() != 3 {
		t.Error("room for a fourth")
	}
	if taken := q.Take(); len(taken) != 3 || q.Len() != 0 {
		t.Errorf("taken: %v", taken)
	}
	for n := range 3 {
		q.Add(10 + n)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(10 * time.Millisecond) }()
	for n := range 3 {
		if got := <-handled; got != 10+n {
			t.Errorf("%d, want %d", got, 10+n)
		}
	}
	q.Add(20)
	if got := <-handled; got != 20 {
		t.Errorf("%d, want 20", got)
	}
	q.End()
	select {
	case err := <-ended: // which has nothing left to do
		if err == nil {
			t.Error("no error of a reactor without sockets")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the reactor goes on")
	}
}

// TestDiscard: a queue that is not used leaves nothing.
func TestDiscard(t *testing.T) {
	r := zmq4.NewReactor()
	q, err := NewQueue[int](r, 3)
	must.OK(t, err)
	q.Discard()
	if _, err := q.reader.RecvBytes(zmq4.DONTWAIT); !errors.Is(err, zmq4.ErrorSocketClosed) {
		t.Errorf("the reader: %v", err)
	}
}
