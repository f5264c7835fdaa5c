//go:build unix

package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// dialEndpoint connects to an endpoint of this machine.
func dialEndpoint(t testing.TB, endpoint string) net.Conn {
	t.Helper()
	at, err := parseEndpoint(endpoint)
	must.OK(t, err)
	conn, err := net.Dial(at.addr().Network(), at.addr().String())
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestForwardTo: a forward has the local endpoint that the program has chosen.
func TestForwardTo(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	remote := "tcp://" + echo(t)
	dir, err := os.MkdirTemp("", "forward")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	path, port := filepath.Join(dir, "socket"), testpeer.FreePort(t)
	endpoints := map[string]bool{}
	for local, want := range map[string]string{
		"ipc://" + path:                         "ipc://" + path,
		fmt.Sprintf("tcp://127.0.0.1:%d", port): fmt.Sprintf("tcp://127.0.0.1:%d", port),
		"tcp://127.0.0.1:0":                     "tcp://127.0.0.1:",
		"tcp://localhost:*":                     "tcp://127.0.0.1:",
		"tcp://127.0.0.77:*":                    "tcp://127.0.0.77:",
		"":                                      "ipc://",
	} {
		endpoint, err := tunnel.ForwardTo(remote, local)
		must.OK(t, err)
		if !strings.HasPrefix(endpoint, want) || endpoints[endpoint] {
			t.Errorf("%q: %q, want %q", local, endpoint, want)
		}
		endpoints[endpoint] = true
		says(t, dialEndpoint(t, endpoint), "hello")
		if again, err := tunnel.ForwardTo(remote, local); err != nil || again != endpoint {
			t.Errorf("%q: %q, %v; want the same", local, again, err)
		}
	}
	if private, err := tunnel.Forward(remote); err != nil || !endpoints[private] {
		t.Errorf("%q, %v: another one than of ForwardTo", private, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	_, err = tunnel.ForwardTo("tcp://127.0.0.1:1", "ipc://"+path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, want that it is in use", err)
	}
	must.OK(t, tunnel.Close())
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if _, err := tunnel.ForwardTo(remote, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// TestBadLocalEndpoints: a local endpoint that other machines can reach is an error.
func TestBadLocalEndpoints(t *testing.T) {
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	for local, what := range map[string]string{
		"tcp://0.0.0.0:5555":  "loopback",
		"tcp://*:5555":        "not a host",
		"tcp://[::]:5555":     "loopback",
		"tcp://10.0.0.1:5555": "loopback",
		"tcp://gateway:0":     "loopback",
		"tcp://127.0.0.1":     "not host:port",
		"tcp://:*":            "not a host",
		"ipc://relative":      "absolute",
		"ipc://@abstract":     "absolute",
		"127.0.0.1:5555":      "not an endpoint",
		"ipc:///no/such/dir":  "no such file",
	} {
		_, err := tunnel.ForwardTo("tcp://127.0.0.1:1", local)
		saysAll(t, err, what)
		_, err = tunnel.SOCKS(local)
		saysAll(t, err, what)
	}
}
