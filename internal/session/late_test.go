package session

import (
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"
)

// TestCutBeforeItsEvent: where a session of a group is cut before the event that tells of its
// connection has come, the connection is cut then.
func TestCutBeforeItsEvent(t *testing.T) {
	for name, cut := range map[string]func(*Table){
		"one": func(t *Table) { t.Cut(func(Session) bool { return true }) },
		"all": (*Table).CutAll,
	} {
		table, _ := newTable(t, 0, always)
		table.Close() // whatever it looks for, the test looks for
		s := table.Guard("d", mechanismPlain, nil)
		fd, address := acceptedIPC(t)
		ann := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: address, Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: "ann", Since: time.Now()}}
		if !table.Offer(ann) {
			t.Fatal("it waits")
		}
		table.Sent(ann, false)
		cut(table)
		s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
		if _, err := unix.Write(fd, []byte("x")); err == nil || table.Alive(ann.Session.ID) {
			t.Errorf("%s: it is in without a session", name)
		}
	}
}

// TestComesAfterACut: who comes after a cut is not cut: the events from before it have been read.
func TestComesAfterACut(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	fd, address := acceptedIPC(t)
	ann := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: address, Send: func() {},
		Session: &Session{ID: table.NextID(), UserID: "ann", Since: time.Now()}}
	table.Offer(ann)
	table.Sent(ann, false)
	s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
	table.Cut(func(Session) bool { return true })
	key := ann.lane.key
	cut := table.late[key]
	expect := func(after time.Duration, want bool) {
		t.Helper()
		if got := s.isLate(key, cut.Add(after)); got != want {
			t.Errorf("after %v late is %t", after, got)
		}
	}
	expect(0, true)
	expect(lateTime, true)
	expect(trimAge, false)
	s.Rest()
	expect(lateTime, true) // these were read before the cut
	s.Tell(zmq4.EVENT_DISCONNECTED, fd, "")
	s.Rest()
	expect(lateTime, false)
	expect(0, true)
	table.forgetLate(cut.Add(trimAge))
	if len(table.late) > 0 {
		t.Errorf("%v", table.late)
	}
}

// TestCutBeforeItsEffect: where a group is cut, a connection whose reply is under way is cut when
// that reply shows its effect: its session has ended.
func TestCutBeforeItsEffect(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	var fds []int
	var replies []*Reply
	for _, user := range []string{"ann", "bob"} {
		fds = append(fds, accepted(t))
		s.Tell(zmq4.EVENT_ACCEPTED, fds[len(fds)-1], "")
		replies = append(replies, &Reply{Domain: "d", Mechanism: mechanismPlain,
			Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: user}})
	}
	table.Offer(replies[0])
	l := replies[0].lane
	replies[1].lane = l
	table.mu.Lock()
	table.ask(l, replies[1]) // the first one has waited long enough
	table.mu.Unlock()
	table.show(l, fds[0])
	if n := table.Cut(func(Session) bool { return true }); n != 2 {
		t.Fatalf("%d sessions were cut", n)
	}
	table.show(l, fds[1])
	if _, err := unix.Write(fds[1], []byte("x")); err == nil {
		t.Error("it is in without a session")
	}
}
