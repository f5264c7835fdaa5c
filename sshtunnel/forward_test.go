package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestConnect: several ZeroMQ sockets of several kinds through one tunnel.
func TestConnect(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	for name, localTCP := range map[string]bool{"ipc": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			ctx := newContext(t)
			cfg := server.config(t)
			cfg.LocalTCP = localTCP
			tunnel := open(t, cfg)
			endpoint := answers(t, ctx)
			for i := range 20 {
				req := newREQ(t, ctx)
				must(t, tunnel.Connect(req, endpoint))
				ask(t, req, fmt.Sprint("question ", i))
			}
			if len(tunnel.forwards) != 1 {
				t.Errorf("%d forwards for one remote", len(tunnel.forwards))
			}
			pull := newSocket(t, ctx, zmq4.PULL)
			must(t, pull.Bind("tcp://127.0.0.1:*"))
			remote, err := pull.GetLastEndpoint()
			must(t, err)
			push := newSocket(t, ctx, zmq4.PUSH)
			must(t, tunnel.Connect(push, remote))
			const messages = 2000
			go func() {
				for i := range messages {
					_, _ = push.Send(fmt.Sprint(i), 0)
				}
			}()
			for i := range messages {
				if got, err := pull.Recv(0); err != nil || got != fmt.Sprint(i) {
					t.Fatalf("message %d is %q, %v", i, got, err)
				}
			}
		})
	}
}

// TestManySockets: a hundred sockets at once, each with its own stream.
func TestManySockets(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	ctx := newContext(t)
	tunnel := open(t, server.config(t))
	router := newSocket(t, ctx, zmq4.ROUTER)
	must(t, router.Bind("tcp://127.0.0.1:*"))
	endpoint, err := router.GetLastEndpoint()
	must(t, err)
	const sockets = 100
	var clients []*zmq4.Socket
	for i := range sockets {
		dealer := newSocket(t, ctx, zmq4.DEALER)
		must(t, tunnel.Connect(dealer, endpoint))
		_, err := dealer.Send(fmt.Sprint(i), 0)
		must(t, err)
		clients = append(clients, dealer)
	}
	for range sockets {
		message, err := router.RecvMessageBytes(0)
		must(t, err)
		_, err = router.SendMessage(message)
		must(t, err)
	}
	for i, dealer := range clients {
		if got, err := dealer.Recv(0); err != nil || got != fmt.Sprint(i) {
			t.Errorf("socket %d gets %q, %v", i, got, err)
		}
	}
}

// TestServerComesLater: a remote where nobody listens yet is tried again by libzmq, and logged once.
func TestServerComesLater(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	ctx := newContext(t)
	log := &logbuffer.Buffer{}
	cfg := server.config(t)
	cfg.Logger = log.Logger()
	tunnel := open(t, cfg)
	endpoint := fmt.Sprint("tcp://127.0.0.1:", freePort(t))
	req := newREQ(t, ctx)
	must(t, tunnel.Connect(req, endpoint))
	testpeer.Eventually(t, "it has been tried three times", func() bool { return strings.Count(log.String(), "cannot be reached") >= 3 })
	if warnings := strings.Count(log.String(), "level=WARN"); warnings != 1 {
		t.Errorf("%d warnings:\n%s", warnings, log)
	}
	rep := newSocket(t, ctx, zmq4.REP)
	must(t, rep.Bind(endpoint))
	_, err := req.Send("at last", 0)
	must(t, err)
	got, err := rep.Recv(0)
	if err != nil || got != "at last" {
		t.Errorf("%q, %v", got, err)
	}
	testpeer.Eventually(t, "that is logged", func() bool { return strings.Contains(log.String(), "can be reached again") })
}

func TestBadEndpoints(t *testing.T) {
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	ctx := newContext(t)
	req := newSocket(t, ctx, zmq4.REQ)
	for _, endpoint := range []string{
		"", "127.0.0.1:5555", "tcp://*:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536",
		"tcp://:5555", "tcp://eth0;127.0.0.1:5555", "tcp://::1:5555", "tcp://a b:5555", "udp://127.0.0.1:5555", "inproc://x",
		"ipc://relative", "ipc://@abstract",
		"tcp://127.0.0.1:http", "tcp://127.0.0.1:+5", "tcp://127.0.0.1:5555/path", "tcp://user@host:5555",
	} {
		_, err := tunnel.Forward(endpoint)
		saysAll(t, err, fmt.Sprintf("%q", endpoint))
		saysAll(t, tunnel.Connect(req, endpoint), fmt.Sprintf("%q", endpoint))
	}
	if tunnel.dir != nil {
		t.Error("a directory was made")
	}
}

// TestPrivateDirectory: nobody else gets at the socket of a forward, and Close removes it.
func TestPrivateDirectory(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	address := echo(t)
	endpoint, err := tunnel.Forward("tcp://" + address)
	must(t, err)
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
	must(t, err)
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

// TestForwardElsewhere: where $TMPDIR will not do, the endpoint is in another directory.
func TestForwardElsewhere(t *testing.T) {
	server := newSSHD(t)
	long := filepath.Join(t.TempDir(), strings.Repeat("x", privatedir.MaxPath))
	must(t, os.Mkdir(long, 0o700))
	t.Setenv("TMPDIR", long)
	t.Setenv("XDG_RUNTIME_DIR", "")
	tunnel := open(t, server.config(t))
	endpoint, err := tunnel.Forward("tcp://" + echo(t))
	must(t, err)
	path := strings.TrimPrefix(endpoint, "ipc://")
	if base := filepath.Dir(filepath.Dir(path)); base != "/tmp" {
		t.Errorf("its directory is in %s", base)
	}
	conn, err := net.Dial("unix", path)
	must(t, err)
	defer conn.Close()
	says(t, conn, "hello")
	if left, err := os.ReadDir(long); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
