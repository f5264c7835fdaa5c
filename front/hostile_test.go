//go:build linux

package front

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestStrangers: who does not begin with a greeting never reaches the socket.
func TestStrangers(t *testing.T) {
	testpeer.NothingLeft(t)
	const timeout = 300 * time.Millisecond
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", &Config{GreetingTimeout: timeout})
	for _, c := range []struct {
		name, sent, reason string
		end                bool // of its sending
	}{
		{name: "silent", reason: ReasonNoGreeting},
		{name: "slow", sent: "\xff\x00\x00\x00", reason: ReasonNoGreeting},
		{name: "http", sent: "GET / HTTP/1.1\r\n\r\n", reason: ReasonNotZMTP},
		{name: "zmtp 1", sent: "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", reason: ReasonNotZMTP},
		{name: "long", sent: "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00", reason: ReasonNotZMTP},
		{name: "half-open", sent: "\xff\x00\x00", end: true, reason: ReasonNotZMTP},
		{name: "proxy", sent: "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + string(greetingOf()),
			reason: ReasonNotZMTP},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.front.Stats().Reasons[c.reason]
			conn := dial(t, s.front.Endpoint(), "")
			_, err := conn.Write([]byte(c.sent))
			must.OK(t, err)
			if c.end {
				must.OK(t, conn.CloseWrite())
			}
			if sent := isClosed(t, conn); len(sent) > 0 {
				t.Errorf("the server has sent %q", sent)
			}
			s.refused(t, c.reason, before+1)
		})
	}
	must.OK(t, dial(t, s.front.Endpoint(), "").Close()) // says nothing at all
	testpeer.Eventually(t, "eight have come and gone", func() bool {
		stats := s.front.Stats()
		return stats.Accepted == 8 && stats.Open == 0
	})
	if stats := s.front.Stats(); stats.Relayed != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestGreetingInPieces: a client may send its greeting as slowly as the deadline lets it.
func TestGreetingInPieces(t *testing.T) {
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	conn := dial(t, s.front.Endpoint(), "")
	for _, b := range append(greetingOf(), ready...) {
		_, err := conn.Write([]byte{b})
		must.OK(t, err)
		time.Sleep(time.Millisecond)
	}
	if !enter(t, conn) { // its own greeting comes too late: the answer is there already
		t.Error("not let in")
	}
}

// TestHalfClose: the end of what a client sends reaches the socket behind all that came before, and
// the socket's end reaches the client.
func TestHalfClose(t *testing.T) {
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	conn := dial(t, s.front.Endpoint(), "")
	if !enter(t, conn) {
		t.Fatal("not let in")
	}
	message := bytes.Repeat([]byte("x"), 200)
	for range 1000 {
		_, err := conn.Write(append([]byte{0, 200}, message...))
		must.OK(t, err)
	}
	must.OK(t, conn.CloseWrite())
	for range 1000 {
		got, err := s.socket.RecvMessageBytes(0)
		must.OK(t, err)
		if !bytes.Equal(got[1], message) {
			t.Fatalf("%q", got[1])
		}
	}
	isClosed(t, conn)
	testpeer.Eventually(t, "nobody is left", func() bool { return s.front.Stats().Open == 0 })
}

// TestBackPressure: where the socket takes no more, the client is held up, and nothing piles up
// here. All arrives when the socket reads again.
func TestBackPressure(t *testing.T) {
	s := newServer(t, zmq4.PULL, "NULL", "tcp://127.0.0.1:*", nil)
	c := s.connected(t, testzmq.NewContext(t), zmq4.PUSH)
	must.OK(t, c.SetLinger(-1))
	const count, size = 4000, 32 << 10
	sent := make(chan error, 1)
	go func() {
		for i := range count {
			message := make([]byte, size)
			copy(message, fmt.Sprint(i))
			if _, err := c.SendBytes(message, 0); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	// The queues of both sockets have room for 1,000 messages each, the kernel for some more.
	var before uint64
	testpeer.Eventually(t, "the client is held up", func() bool {
		time.Sleep(100 * time.Millisecond)
		now := s.front.Stats().Received
		defer func() { before = now }()
		return now > 0 && now == before
	})
	if before >= count*size {
		t.Fatalf("%d bytes have passed", before)
	}
	for i := range count {
		got, err := s.socket.RecvBytes(0)
		must.OK(t, err)
		text, _, _ := bytes.Cut(got, []byte{0})
		if len(got) != size || string(text) != fmt.Sprint(i) {
			t.Fatalf("message %d is %.20q", i, text)
		}
	}
	must.OK(t, <-sent)
}

// TestCutClientThatReadsNothing: one whose session is ended goes, although it reads nothing.
func TestCutClientThatReadsNothing(t *testing.T) {
	s := newServer(t, zmq4.PUSH, "NULL", "tcp://127.0.0.1:*", nil)
	conn := dial(t, s.front.Endpoint(), "")
	pull := "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL"
	_, err := conn.Write(append(greetingOf(), pull...))
	must.OK(t, err)
	s.sessions(t, 1)
	must.OK(t, s.socket.SetSndtimeo(200*time.Millisecond))
	for err == nil { // until all buffers are full
		_, err = s.socket.SendBytes(make([]byte, 32<<10), 0)
	}
	if n := s.a.Disconnect(func(zmqauth.Session) bool { return true }); n != 1 {
		t.Fatalf("%d sessions", n)
	}
	testpeer.Eventually(t, "it is gone", func() bool { return s.front.Stats().Open == 0 })
}

// TestReset: a client that resets its connection ends alone.
func TestReset(t *testing.T) {
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	other := s.connected(t, testzmq.NewContext(t), zmq4.DEALER)
	for i := range 200 {
		conn := dial(t, s.front.Endpoint(), "")
		if i%4 > 0 && !enter(t, conn) {
			t.Fatal("not let in")
		}
		if i%4 == 2 {
			_, _ = conn.Write(bytes.Repeat([]byte("\x00\x01x"), 10_000))
		}
		must.OK(t, conn.SetLinger(0))
		must.OK(t, conn.Close())
	}
	testpeer.Eventually(t, "one is left", func() bool { return s.front.Stats().Open == 1 })
	_, err := other.Send("still here", 0)
	must.OK(t, err)
	for text := ""; text != "still here"; { // the others' messages as well
		got, err := s.socket.RecvMessage(0)
		must.OK(t, err)
		text = got[1]
	}
	must.OK(t, s.socket.SetRcvtimeo(time.Millisecond))
	testpeer.Eventually(t, "one session is left", func() bool {
		for err := error(nil); err == nil; { // libzmq sees an end behind what came before
			_, err = s.socket.RecvMessage(0)
		}
		return len(s.a.Sessions()) == 1
	})
}
