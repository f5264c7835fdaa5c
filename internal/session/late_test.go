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
