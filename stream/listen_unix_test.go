//go:build unix

package stream

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestListenAndServe: a Unix socket works, also after an earlier server has left one behind. An
// address that makes no sense is an error.
func TestListenAndServe(t *testing.T) {
	testpeer.NothingLeft(t)
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must.OK(t, err)
	stale.SetUnlinkOnClose(false)
	must.OK(t, stale.Close())
	s := &Server{Authenticator: password, Handler: echo, Logger: quiet()}
	served := make(chan error)
	go func() { served <- s.ListenAndServe("unix", path) }()
	testpeer.Eventually(t, "the server answers", func() bool {
		conn, err := net.Dial("unix", path)
		if err != nil {
			return false
		}
		defer conn.Close()
		return giveWord(conn) == nil && exchange(conn, "hello") == nil
	})
	err = (&Server{Authenticator: AllowAny, Handler: echo}).ListenAndServe("unix", path)
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a second server at the same path: %v", err)
	}
	must.OK(t, s.Close())
	if err := <-served; err != ErrServerClosed {
		t.Error(err)
	}
	for _, address := range []string{"nowhere", "127.0.0.1:x"} {
		err := (&Server{Authenticator: AllowAny, Handler: echo}).ListenAndServe("tcp", address)
		if err == nil || !strings.HasPrefix(err.Error(), "stream: ") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
