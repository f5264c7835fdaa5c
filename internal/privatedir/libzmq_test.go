//go:build cgo && unix

package privatedir

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"
)

// TestBindLibzmq: libzmq removes whatever is in its way, and so is not asked where that is alive.
func TestBindLibzmq(t *testing.T) {
	ctx, err := zmq4.NewContext()
	must(t, err)
	t.Cleanup(func() { must(t, ctx.Term()) })
	newSocket := func() *zmq4.Socket {
		s, err := ctx.NewSocket(zmq4.PULL)
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		return s
	}
	path := filepath.Join(shortDir(t), "s")
	leaveSocket(t, path)
	first, second := newSocket(), newSocket()
	socket, err := Bind(t.Context(), path, func() error { return first.Bind("ipc://" + path) })
	must(t, err)
	bindSecond := func() error { return second.Bind("ipc://" + path) }
	if _, err := Bind(t.Context(), path, bindSecond); err != syscall.EADDRINUSE {
		t.Errorf("over a live one: %v", err)
	}
	if isStale(t.Context(), path) {
		t.Error("the live one is gone")
	}
	must(t, socket.Remove())
	if exists(path) {
		t.Error("the file is left")
	}
	other, err := Bind(t.Context(), path, bindSecond)
	must(t, err)
	must(t, socket.Remove())
	if !exists(path) {
		t.Error("the first has removed the second's file")
	}
	must(t, other.Remove())
}
