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
