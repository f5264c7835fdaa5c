//go:build cgo && unix

package privatedir

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestBindLibzmq: libzmq removes whatever is at its path. So it must not be called if a live socket
// is there.
func TestBindLibzmq(t *testing.T) {
	ctx := testzmq.NewContext(t)
	path := filepath.Join(shortDir(t), "s")
	leaveSocket(t, path)
	first := testzmq.NewSocket(t, ctx, zmq4.PULL)
	second := testzmq.NewSocket(t, ctx, zmq4.PULL)
	socket, err := Bind(t.Context(), path, func() error { return first.Bind("ipc://" + path) })
	must.OK(t, err)
	bindSecond := func() error { return second.Bind("ipc://" + path) }
	if _, err := Bind(t.Context(), path, bindSecond); err != syscall.EADDRINUSE {
		t.Errorf("over a live one: %v", err)
	}
	if isStale(t.Context(), path) {
		t.Error("the live one is gone")
	}
	must.OK(t, socket.Remove())
	if exists(path) {
		t.Error("the file is left")
	}
	other, err := Bind(t.Context(), path, bindSecond)
	must.OK(t, err)
	must.OK(t, socket.Remove())
	if !exists(path) {
		t.Error("the first has removed the second's file")
	}
	must.OK(t, other.Remove())
}
