package session

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

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
	if alive := table.Alive(ann.Session.ID); !alive && err == nil {
		t.Error("it is in without a session")
	}
}
