package admin

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestInheritedWrong: a Listener of another kind is an error, and nothing is left at the path.
func TestInheritedWrong(t *testing.T) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, l.Close()) })
	tcp, err := l.File()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, tcp.Close()) })
	path := filepath.Join(t.TempDir(), "socket")
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, u.Close()) })
	unix, err := u.File()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, unix.Close()) })
	other := filepath.Join(t.TempDir(), "other")
	_, _, err = listenUnix(t.Context(), other, nil, tcp)
	if err == nil || !strings.Contains(err.Error(), "is no Unix socket") {
		t.Errorf("TCP for a Unix socket: %v", err)
	}
	if _, err := os.Lstat(other); err == nil {
		t.Error("a file has been made")
	}
	_, err = listenTCP(t.Context(), "127.0.0.1:0", unix)
	if err == nil || !strings.Contains(err.Error(), "is not TCP") {
		t.Errorf("a Unix socket for TCP: %v", err)
	}
}
