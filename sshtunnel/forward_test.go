//go:build unix

package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

func TestBadEndpoints(t *testing.T) {
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	unused := connector(func(endpoint string) error { panic("connected to " + endpoint) })
	for _, endpoint := range []string{
		"", "127.0.0.1:5555", "tcp://*:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:*",
		"tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://:5555", "tcp://eth0;127.0.0.1:5555",
		"tcp://::1:5555", "tcp://a b:5555", "udp://127.0.0.1:5555", "inproc://x",
		"ipc://relative", "ipc://@abstract",
		"tcp://127.0.0.1:http", "tcp://127.0.0.1:+5", "tcp://127.0.0.1:5555/path", "tcp://user@host:5555",
	} {
		_, err := tunnel.Forward(endpoint)
		saysAll(t, err, fmt.Sprintf("%q", endpoint))
		saysAll(t, tunnel.Connect(unused, endpoint), fmt.Sprintf("%q", endpoint))
	}
	if tunnel.dir != nil {
		t.Error("a directory was made")
	}
}

// connector is any socket.
type connector func(endpoint string) error

func (c connector) Connect(endpoint string) error { return c(endpoint) }

// TestConnector: any Connector gets the forward's endpoint, and its error is returned.
func TestConnector(t *testing.T) {
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	remote := "tcp://" + echo(t)
	var endpoints []string
	fault := error(nil)
	socket := connector(func(endpoint string) error {
		endpoints = append(endpoints, endpoint)
		return fault
	})
	must.OK(t, tunnel.Connect(socket, remote))
	fault = errors.New("fault")
	err := tunnel.Connect(socket, remote)
	saysAll(t, err, remote+": fault")
	want, forwardErr := tunnel.Forward(remote)
	must.OK(t, forwardErr)
	if !errors.Is(err, fault) || !slices.Equal(endpoints, []string{want, want}) {
		t.Errorf("%v, connected to %q, want twice %s", err, endpoints, want)
	}
}

// TestPrivateDirectory: no other user can reach the socket of a forward, and Close removes it.
func TestPrivateDirectory(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	address := echo(t)
	endpoint, err := tunnel.Forward("tcp://" + address)
	must.OK(t, err)
	again, err := tunnel.Forward("tcp://" + address)
	if err != nil || again != endpoint {
		t.Errorf("%q, %v; want %q", again, err, endpoint)
	}
	other, err := tunnel.Forward("tcp://localhost:1")
	if err != nil || other == endpoint {
		t.Errorf("%q, %v", other, err)
	}
	path := strings.TrimPrefix(endpoint, "ipc://")
	info, err := os.Stat(filepath.Dir(path))
	owned := err == nil && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Getuid())
	if err != nil || info.Mode().Perm() != 0o700 || !owned {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	conn, err := net.Dial("unix", path)
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello")

	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			if err := tunnel.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the stream lives on")
	}
	if _, err := tunnel.Forward("tcp://" + address); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// TestForwardElsewhere: if $TMPDIR is not suitable, the endpoint is in another directory.
func TestForwardElsewhere(t *testing.T) {
	server := newSSHD(t)
	long := filepath.Join(t.TempDir(), strings.Repeat("x", privatedir.MaxPath))
	must.OK(t, os.Mkdir(long, 0o700))
	t.Setenv("TMPDIR", long)
	t.Setenv("XDG_RUNTIME_DIR", "")
	tunnel := open(t, server.config(t))
	endpoint, err := tunnel.Forward("tcp://" + echo(t))
	must.OK(t, err)
	path := strings.TrimPrefix(endpoint, "ipc://")
	if base := filepath.Dir(filepath.Dir(path)); base != "/tmp" {
		t.Errorf("its directory is in %s", base)
	}
	conn, err := net.Dial("unix", path)
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello")
	if left, err := os.ReadDir(long); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
