package session

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
)

// accepted is a TCP connection at the server's end, on which it has written nothing.
func accepted(t *testing.T) (server int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	must.OK(t, err)
	t.Cleanup(func() { _ = client.Close() })
	conn, err := listener.Accept()
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.(*net.TCPConn).SyscallConn()
	must.OK(t, err)
	must.OK(t, raw.Control(func(fd uintptr) { server = int(fd) }))
	return server
}

// show looks at once for the effect of a reply on connections.
func (t *Table) show(l *lane, connections ...int) {
	for _, fd := range connections {
		_, _ = unix.Write(fd, make([]byte, 1+beforeReply(l.key.mechanism)))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l.seen = true // no pause
	t.look(l, time.Time{})
}

// TestLateRepetition: a reply that was sent once more, and explained meanwhile, says nothing about
// the next one.
func TestLateRepetition(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	first, second := accepted(t), accepted(t)
	s.Tell(zmq4.EVENT_ACCEPTED, first, "")
	s.Tell(zmq4.EVENT_ACCEPTED, second, "")
	reply := func(user string) *Reply {
		return &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: user}}
	}
	ann, bob, eve := reply("ann"), reply("bob"), reply("eve")
	if !table.Offer(ann) || table.Offer(bob) || table.Offer(eve) {
		t.Fatal("not one at a time")
	}
	table.Sent(ann, false)
	table.show(ann.lane, first) // ann's; bob's is sent
	table.Sent(bob, false)
	table.mu.Lock()
	bob.lane.seen = false
	table.mu.Unlock()
	ann.repeated = true
	table.Sent(ann, true)
	if ann.lane.seen || len(ann.lane.asked) != 1 || ann.lane.asked[0] != bob {
		t.Errorf("%d are under way, seen %t", len(ann.lane.asked), ann.lane.seen)
	}
	table.show(bob.lane, second)
	for i, session := range table.Sessions() {
		if want := []string{"ann", "bob"}[i]; session.UserID != want || !session.Exact {
			t.Errorf("%+v", session)
		}
	}
}

// TestLaneOfItsSuccessor: a lane that is forgotten, but that is to be looked at once more, does not
// take away the one after it, which has the connections of the address.
func TestLaneOfItsSuccessor(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	fd := accepted(t)
	reply := func(user string) *Reply {
		return &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: user}}
	}
	gone, ann := reply("gone"), reply("ann")
	if !table.Offer(gone) {
		t.Fatal("it waits")
	}
	table.Sent(gone, true)
	s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
	table.show(gone.lane)
	table.Offer(ann)
	table.Sent(ann, false)
	table.show(ann.lane, fd)
	if !table.Alive(ann.Session.ID) {
		t.Error("ann is in without a session")
	}
}

// TestTurn: nobody passes those who wait.
func TestTurn(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	reply := func() *Reply {
		return &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "192.0.2.1", Send: func() {}}
	}
	first, second, third := reply(), reply(), reply()
	if !table.Offer(first) || table.Offer(second) {
		t.Fatal("not one at a time")
	}
	table.Sent(first, true)
	if table.Offer(third) {
		t.Error("it is sent before one that waits")
	}
}

// TestGoneAfterItsEffect: libzmq ends what a repetition goes to before it closes the connection.
// What that shows is not the effect of the next reply.
func TestGoneAfterItsEffect(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	ends, stays := accepted(t), accepted(t)
	s.Tell(zmq4.EVENT_ACCEPTED, ends, "")
	s.Tell(zmq4.EVENT_ACCEPTED, stays, "")
	reply := func(user string) *Reply {
		return &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: user}}
	}
	ann, bob := reply("ann"), reply("bob")
	if !table.Offer(ann) {
		t.Fatal("it waits")
	}
	table.Sent(ann, false)
	_, err := unix.Write(ends, make([]byte, 1+beforeReply(mechanismPlain)))
	must.OK(t, err)
	ann.repeated = true
	table.Sent(ann, true)
	if !table.Offer(bob) {
		t.Fatal("it waits")
	}
	table.Sent(bob, false)
	table.show(bob.lane)
	if table.Alive(bob.Session.ID) {
		t.Error("it is on the connection of another one")
	}
	table.show(bob.lane, stays)
	end(t, s, ends)
	if all := table.Sessions(); len(all) != 1 || all[0].UserID != "bob" {
		t.Errorf("%+v", all)
	}
}

// TestGroupIsOver: where the effects of two replies were seen together, both are in a group; the
// next reply is alone again.
func TestGroupIsOver(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close()
	s := table.Guard("d", mechanismPlain, nil)
	var fds []int
	for range 3 {
		fds = append(fds, accepted(t))
		s.Tell(zmq4.EVENT_ACCEPTED, fds[len(fds)-1], "")
	}
	var replies []*Reply
	for _, user := range []string{"ann", "bob", "eve"} {
		replies = append(replies, &Reply{Domain: "d", Mechanism: mechanismPlain,
			Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: user}})
	}
	table.Offer(replies[0])
	l := replies[0].lane
	table.mu.Lock()
	replies[1].lane = l
	table.ask(l, replies[1])
	table.mu.Unlock()
	table.show(l, fds[0], fds[1])
	if len(l.asked) != 0 || len(l.grouped) != 2 {
		t.Errorf("%d under way, %d in the group", len(l.asked), len(l.grouped))
	}
	table.Offer(replies[2])
	table.show(l, fds[2])
	for i, session := range table.Sessions() {
		if session.Exact != (i == 2) {
			t.Errorf("%+v", session)
		}
	}
	if n := table.Cut(func(s Session) bool { return s.UserID == "ann" }); n != 2 {
		t.Errorf("%d were cut", n)
	}
	if all := table.Sessions(); len(all) != 1 || all[0].UserID != "eve" {
		t.Errorf("%+v", all)
	}
}

// TestLateEvent: where an event comes so late that something else has the descriptor, that is left
// alone, also by limits.
func TestLateEvent(t *testing.T) {
	table, _ := newTable(t, 0, always)
	s := table.Guard("d", mechanismPlain, &Limits{MaxConns: 1})
	ours, foreign, other := accepted(t), accepted(t), accepted(t)
	at := func(fd int) string {
		name, err := unix.Getsockname(fd)
		must.OK(t, err)
		return fmt.Sprintf("tcp://0.0.0.0:%d", name.(*unix.SockaddrInet4).Port)
	}
	s.Tell(zmq4.EVENT_ACCEPTED, ours, at(ours))
	s.Tell(zmq4.EVENT_ACCEPTED, foreign, at(ours))
	if s.conns[ours] == nil || s.conns[foreign] != nil || table.Refused() > 0 {
		t.Errorf("%v, %d refused", s.conns, table.Refused())
	}
	if n, err := unix.Write(foreign, []byte("x")); n != 1 {
		t.Errorf("it was cut: %v", err)
	}
	s.Tell(zmq4.EVENT_ACCEPTED, other, at(other)) // one too many
	if _, err := unix.Write(other, []byte("x")); err == nil || table.Refused() != 1 {
		t.Errorf("%v, %d refused", err, table.Refused())
	}
}

// TestMistakenConnection: where events come so late that a connection was taken for the one before
// it on its descriptor, the end of that one does not end its session. If it is about to end itself
// it is cut: nobody is in without a session.
func TestMistakenConnection(t *testing.T) {
	for _, ends := range []bool{false, true} {
		table, _ := newTable(t, 0, always)
		table.Close() // whatever it looks for, the test looks for
		s := table.Guard("d", mechanismPlain, nil)
		fd := accepted(t)
		s.Tell(zmq4.EVENT_ACCEPTED, fd, "") // of the one before
		ann := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: "ann"}}
		if !table.Offer(ann) {
			t.Fatal("it waits")
		}
		table.Sent(ann, false)
		table.show(ann.lane, fd)
		if !table.Alive(ann.Session.ID) {
			t.Fatal("no session")
		}
		if ends {
			must.OK(t, unix.Shutdown(fd, unix.SHUT_RD))
		}
		s.Tell(zmq4.EVENT_DISCONNECTED, fd, "") // of the one before
		s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
		table.lookAtClosing(time.Now().Add(2 * closingTime))
		_, err := unix.Write(fd, []byte("x"))
		if lives := err == nil; table.Alive(ann.Session.ID) == ends || lives == ends {
			t.Errorf("ends %t: session %t, %v", ends, table.Alive(ann.Session.ID), err)
		}
		if len(table.closing) != 0 {
			t.Errorf("ends %t: %v", ends, table.closing)
		}
	}
}

// TestClosesAfterItsEnd: a connection whose end libzmq tells of before it closes it is forgotten
// then.
func TestClosesAfterItsEnd(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	fd := accepted(t)
	own, err := unix.Dup(fd)
	must.OK(t, err)
	s.Tell(zmq4.EVENT_ACCEPTED, own, "")
	s.Tell(zmq4.EVENT_DISCONNECTED, own, "")
	if next := table.lookAtClosing(time.Now()); next.IsZero() || len(s.conns) != 1 {
		t.Errorf("next look %v, %d connections", next, len(s.conns))
	}
	must.OK(t, unix.Close(own))
	if next := table.lookAtClosing(time.Now()); !next.IsZero() || len(s.conns) != 0 {
		t.Errorf("next look %v, %d connections", next, len(s.conns))
	}
}

// TestGoneDoesNotCount: a connection that is closed after its event counts for no limit, from then
// on.
func TestGoneDoesNotCount(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, &Limits{PerAddress: 1})
	first, second := accepted(t), accepted(t)
	own, err := unix.Dup(first)
	must.OK(t, err)
	s.Tell(zmq4.EVENT_ACCEPTED, own, "")
	s.Tell(zmq4.EVENT_DISCONNECTED, own, "")
	must.OK(t, unix.Close(own))
	s.Tell(zmq4.EVENT_ACCEPTED, second, "")
	if n := table.Refused(); n > 0 {
		t.Errorf("%d were refused", n)
	}
}

// end ends a connection, and has its event told.
func end(t *testing.T, s *Socket, fd int) {
	t.Helper()
	must.OK(t, unix.Shutdown(fd, unix.SHUT_RDWR))
	s.Tell(zmq4.EVENT_DISCONNECTED, fd, "")
}

// TestGroupBeforeItsEvents: sessions of a group do not end because the events that tell of their
// connections are late. Once they are old, there are no more than connections.
func TestGroupBeforeItsEvents(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismGSSAPI, nil)
	enter := func(user string, since time.Time) *Reply {
		r := &Reply{Domain: "d", Mechanism: mechanismGSSAPI, Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: user, Since: since}}
		if !table.Offer(r) {
			t.Fatal("it waits")
		}
		table.Sent(r, false)
		return r
	}
	ann, bob := enter("ann", time.Now()), enter("bob", time.Now())
	one, two := accepted(t), accepted(t)
	s.Tell(zmq4.EVENT_ACCEPTED, one, "")
	s.Tell(zmq4.EVENT_ACCEPTED, two, "")
	if !table.Alive(ann.Session.ID) || !table.Alive(bob.Session.ID) {
		t.Fatal("a session has ended")
	}
	old := time.Now().Add(-2 * trimAge)
	carol := enter("carol", old)
	end(t, s, one)
	end(t, s, two)
	if table.Alive(carol.Session.ID) || !table.Alive(ann.Session.ID) {
		t.Error("the old session lives, or a young one has ended")
	}
	for _, r := range []*Reply{ann, bob} {
		r.entry.Since = old
	}
	table.sweep(time.Now())
	if left := table.Sessions(); len(left) > 0 || len(table.lanes) > 0 {
		t.Errorf("%+v, %d lanes", left, len(table.lanes))
	}
}

// TestPortWaitsForItsEvent: a reply whose port is known waits until its connection is, so that its
// session is exact. It does not wait for ever.
func TestPortWaitsForItsEvent(t *testing.T) {
	for _, comes := range []bool{true, false} {
		table, _ := newTable(t, 0, always)
		table.Close() // whatever it looks for, the test looks for
		s := table.Guard("d", mechanismGSSAPI, nil)
		fd := accepted(t)
		name, err := unix.Getpeername(fd)
		must.OK(t, err)
		r := &Reply{Domain: "d", Mechanism: mechanismGSSAPI, Address: "127.0.0.1", Send: func() {},
			Port:    uint16(name.(*unix.SockaddrInet4).Port),
			Session: &Session{ID: table.NextID(), UserID: "ann", Since: time.Now()}}
		if table.Offer(r) {
			t.Fatal("it does not wait")
		}
		if comes {
			s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
		}
		looks := 0
		table.mu.Lock()
		for now := time.Now(); len(r.lane.asked) == 0 && looks < 10*ambiguity; looks++ {
			now = now.Add(lookInterval)
			table.look(r.lane, now)
		}
		table.mu.Unlock()
		if comes != (looks == 1) || len(r.lane.asked) != 1 {
			t.Errorf("%v: %d looks, %d replies", comes, looks, len(r.lane.asked))
		}
		table.Sent(r, false)
		if all := table.Sessions(); len(all) != 1 || all[0].Exact != comes {
			t.Errorf("%+v", all)
		}
	}
}

// TestEndBeforeBeginning: with several I/O threads libzmq may tell of a connection's end before its
// beginning. If another one has the descriptor then, that is known by the first of two events.
func TestEndBeforeBeginning(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	fd := accepted(t)
	s.Tell(zmq4.EVENT_DISCONNECTED, fd, "") // of the one before
	s.Tell(zmq4.EVENT_ACCEPTED, fd, "")     // of the one before
	ann := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Send: func() {},
		Session: &Session{ID: table.NextID(), UserID: "ann"}}
	table.Offer(ann)
	table.Sent(ann, false)
	table.show(ann.lane, fd)
	s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
	_, err := unix.Write(fd, []byte("x"))
	if !table.Alive(ann.Session.ID) || err != nil {
		t.Errorf("alive %t, %v", table.Alive(ann.Session.ID), err)
	}
}

// TestWithdrawn: what is withdrawn before it was sent opens no session. What was sent before it is
// withdrawn, in place of its repetition, has let the client in: the session is known.
func TestWithdrawn(t *testing.T) {
	for _, isSent := range []bool{false, true} {
		table, _ := newTable(t, 0, always)
		table.Close() // whatever it looks for, the test looks for
		fd := accepted(t)
		table.Guard("d", mechanismPlain, nil).Tell(zmq4.EVENT_ACCEPTED, fd, "")
		ann := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: "ann"}}
		table.Offer(ann)
		if isSent {
			table.Sent(ann, false)
		}
		table.Withdraw(ann)
		table.Sent(ann, false)
		table.show(ann.lane, fd)
		all := table.Sessions()
		if isKnown := len(all) == 1 && all[0].Exact; isKnown != isSent || !isSent && len(all) > 0 {
			t.Errorf("sent %t: %+v", isSent, all)
		}
	}
}
