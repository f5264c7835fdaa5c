package session

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
)

// acceptedIPC is an IPC connection at the server's end, and the address of its client.
func acceptedIPC(t *testing.T) (server int, address string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	must.OK(t, err)
	defer listener.Close()
	client, err := net.Dial("unix", path)
	must.OK(t, err)
	t.Cleanup(func() { _ = client.Close() })
	conn, err := listener.Accept()
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.(*net.UnixConn).SyscallConn()
	must.OK(t, err)
	must.OK(t, raw.Control(func(fd uintptr) { server = int(fd) }))
	id := strconv.Itoa
	return server, ipcPrefix + id(os.Getuid()) + ":" + id(os.Getgid()) + ":" + id(os.Getpid())
}

// TestMistakenConnectionOfGroup is TestMistakenConnection where no effect can be seen.
func TestMistakenConnectionOfGroup(t *testing.T) {
	table, _ := newTable(t, 0, always)
	s := table.Guard("d", mechanismPlain, nil)
	fd, address := acceptedIPC(t)
	s.Tell(zmq4.EVENT_ACCEPTED, fd, "") // of the one before
	ann := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: address, Send: func() {},
		Session: &Session{ID: table.NextID(), UserID: "ann"}}
	if !table.Offer(ann) {
		t.Fatal("it waits")
	}
	table.Sent(ann, false)
	if !table.Alive(ann.Session.ID) {
		t.Fatal("no session")
	}
	s.Tell(zmq4.EVENT_DISCONNECTED, fd, "") // of the one before
	s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
	_, err := unix.Write(fd, []byte("x"))
	if !table.Alive(ann.Session.ID) || err != nil {
		t.Errorf("session %t, %v", table.Alive(ann.Session.ID), err)
	}
}

// TestExactAgain: where the effect of a reply was not seen for long, what came after it is in a
// group. Once its connection has gone, sessions are exact again, although those of the group last.
func TestExactAgain(t *testing.T) {
	const clients = 5
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	reply := func() *Reply {
		return &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Send: func() {},
			Session: &Session{ID: table.NextID(), Since: time.Now()}}
	}
	lost, first := reply(), reply()
	table.Offer(lost)
	first.lane = lost.lane
	table.mu.Lock()
	table.ask(lost.lane, first) // it has waited long enough
	table.mu.Unlock()
	var last *Reply
	for n := range clients {
		fd := accepted(t)
		s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
		if n > 0 {
			last = reply()
			table.Offer(last)
			table.show(lost.lane) // if it has to wait
		}
		table.show(lost.lane, fd)
		if n == 0 {
			table.Sent(lost, true)
		}
	}
	for _, s := range table.Sessions() {
		if s.ID == last.Session.ID && s.Exact {
			return
		}
	}
	t.Errorf("%+v", table.Sessions())
}

// TestGroupLosesOne: where a connection of a group has gone, one of the sessions that are alike has
// ended. It is not known which, so that the messages of none are denied.
func TestGroupLosesOne(t *testing.T) {
	type proof struct{ name string }
	table := New(Config{Judge: always, Changed: func(Session, bool) {}})
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, nil)
	var ids []uint64
	var fds []int
	enter := func(user string) {
		fd, address := acceptedIPC(t)
		s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
		r := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: address, Send: func() {},
			Session: &Session{ID: table.NextID(), UserID: user, Proof: proof{user},
				Since: time.Now().Add(-2 * trimAge)}}
		table.Offer(r)
		table.Sent(r, false)
		fds, ids = append(fds, fd), append(ids, r.Session.ID)
	}
	expect := func(what string, sessions int, alive bool) {
		t.Helper()
		if all := table.Sessions(); len(all) != sessions {
			t.Errorf("%s: %+v", what, all)
		}
		for _, id := range ids {
			if table.Alive(id) != alive {
				t.Errorf("%s: %d is alive: %t", what, id, !alive)
			}
		}
	}
	enter("ann")
	enter("ann")
	enter("ann")
	expect("all are there", 3, true)
	end(t, s, fds[0])
	expect("one has gone", 2, true)
	for _, l := range table.lanes {
		for range maxPerhaps {
			table.notePerhaps(l, table.NextID())
		}
	}
	if len(table.perhaps) != maxPerhaps {
		t.Errorf("%d are remembered", len(table.perhaps))
	}
	end(t, s, fds[1])
	end(t, s, fds[2])
	expect("all have gone", 0, false)
	if len(table.perhaps)+len(table.lanes) > 0 {
		t.Errorf("%d perhaps, %d lanes", len(table.perhaps), len(table.lanes))
	}
	ids = nil
	enter("ann")
	enter("ann")
	end(t, s, fds[len(fds)-1])
	table.Cut(func(Session) bool { return true })
	expect("they are cut", 0, false)
}
