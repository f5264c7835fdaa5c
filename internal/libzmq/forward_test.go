package libzmq

import (
	"fmt"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// pushes makes a Forwarder from PULL to PUSH, and a client of its front.
func pushes(t *testing.T, o ForwarderOptions) (f *Forwarder, client, back *zmq4.Socket) {
	zctx := testzmq.NewContext(t)
	front := testzmq.NewSocket(t, zctx, zmq4.PULL)
	back = testzmq.NewSocket(t, zctx, zmq4.PUSH)
	client = testzmq.NewSocket(t, zctx, zmq4.PUSH)
	must.OK(t, front.Bind("tcp://127.0.0.1:*"))
	endpoint, err := front.GetLastEndpoint()
	must.OK(t, err)
	must.OK(t, client.Connect(endpoint))
	f, err = NewForwarder(front, back, o)
	must.OK(t, err)
	t.Cleanup(f.Free)
	return f, client, back
}

// passed runs f until so many messages went up.
func passed(t *testing.T, f *Forwarder, count uint64) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprintf("%d messages are passed on", count), func() bool {
		_, err := f.Run(time.Millisecond, true)
		must.OK(t, err)
		return f.Up().Passed == count
	})
}

// TestForwarderCounts: messages count as open until they are written to a connection.
func TestForwarderCounts(t *testing.T) {
	f, client, back := pushes(t, ForwarderOptions{CountUp: true})
	must.OK(t, back.Connect("tcp://127.0.0.1:1")) // nobody listens there
	const count = 300
	for i := range count {
		_, err := client.SendMessage("a", fmt.Sprint(i)) // the last frame is the one that is counted
		must.OK(t, err)
	}
	passed(t, f, count)
	if up := f.Up(); up.Open != count || up.Broken != 0 {
		t.Errorf("%+v", up)
	}
	must.OK(t, back.Disconnect("tcp://127.0.0.1:1")) // drops them
	testpeer.Eventually(t, "none is open", func() bool {
		_, _ = back.GetEvents()
		return f.Up().Open == 0
	})
}

// TestForwarderCountsHeld: the message that the receiving socket does not take is open, too. Free
// drops it.
func TestForwarderCountsHeld(t *testing.T) {
	f, client, back := pushes(t, ForwarderOptions{CountUp: true})
	_, err := client.Send("hello", 0)
	must.OK(t, err)
	testpeer.Eventually(t, "one message is held", func() bool {
		_, err := f.Run(time.Millisecond, true)
		must.OK(t, err)
		return f.Up().Open == 1
	})
	if up := f.Up(); up.Passed != 0 {
		t.Errorf("%+v", up)
	}
	zctx, err := back.Context()
	must.OK(t, err)
	service := testzmq.NewSocket(t, zctx, zmq4.PULL)
	must.OK(t, service.Bind("inproc://service"))
	must.OK(t, back.Connect("inproc://service"))
	passed(t, f, 1)
	if got, err := service.Recv(0); err != nil || got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	testpeer.Eventually(t, "none is open", func() bool { return f.Up().Open == 0 })
}

// TestForwarderWindow: no message is taken while the window is full.
func TestForwarderWindow(t *testing.T) {
	const window = 10
	f, client, back := pushes(t, ForwarderOptions{CountUp: true, Window: window})
	must.OK(t, back.Connect("tcp://127.0.0.1:1"))
	for range 3 * window {
		_, err := client.Send("hello", 0)
		must.OK(t, err)
	}
	passed(t, f, window)
	_, err := f.Run(50*time.Millisecond, false)
	must.OK(t, err)
	if up := f.Up(); up.Passed != window || up.Open != window {
		t.Errorf("%+v", up)
	}
	if count, err := f.Discard(); err != nil || count != 2*window {
		t.Errorf("%d were left: %v", count, err)
	}
}

// TestForwarderPauses: no message is taken on a way that is paused.
func TestForwarderPauses(t *testing.T) {
	f, client, back := pushes(t, ForwarderOptions{CountUp: true})
	must.OK(t, back.Connect("tcp://127.0.0.1:1"))
	_, err := client.Send("hello", 0)
	must.OK(t, err)
	f.Pause(true, true)
	_, err = f.Run(50*time.Millisecond, false)
	must.OK(t, err)
	if up := f.Up(); up.Passed != 0 || up.Open != 0 {
		t.Errorf("%+v", up)
	}
	f.Pause(false, false)
	passed(t, f, 1)
}

// TestForwarderDelimiters: a message of REQ counts as such, another does not, both ways.
func TestForwarderDelimiters(t *testing.T) {
	zctx := testzmq.NewContext(t)
	front := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	back := testzmq.NewSocket(t, zctx, zmq4.DEALER)
	service := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	must.OK(t, front.Bind("inproc://front"))
	must.OK(t, service.Bind("inproc://service"))
	must.OK(t, back.Connect("inproc://service"))
	f, err := NewForwarder(front, back, ForwarderOptions{
		Down: true, CountUp: true, CountDown: true, Delimiters: true})
	must.OK(t, err)
	t.Cleanup(f.Free)
	client := testzmq.NewSocket(t, zctx, zmq4.DEALER)
	must.OK(t, client.Connect("inproc://front"))
	for _, message := range [][]any{{"", "request"}, {"one-way"}, {"", "another"}, {"a", ""}} {
		_, err := client.SendMessage(message...)
		must.OK(t, err)
	}
	passed(t, f, 4)
	if up := f.Up(); up.Delimited != 2 {
		t.Errorf("%+v", up)
	}
	for range 4 {
		message, err := service.RecvMessageBytes(0)
		must.OK(t, err)
		_, err = service.SendMessage(message)
		must.OK(t, err)
	}
	testpeer.Eventually(t, "all have come back", func() bool {
		_, err := f.Run(time.Millisecond, true)
		must.OK(t, err)
		return f.Down().Passed == 4
	})
	if down := f.Down(); down.Delimited != 2 {
		t.Errorf("%+v", down)
	}
}
