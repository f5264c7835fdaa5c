//go:build unix

package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestReverse: the server listens, and its clients reach this machine's server.
func TestReverse(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	local := "tcp://" + echo(t)
	dir, err := os.MkdirTemp("", "reverse")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	for _, remote := range []string{
		"tcp://127.0.0.1:*", "tcp://localhost:0", "tcp://*:0", "ipc://" + filepath.Join(dir, "socket"),
	} {
		endpoint, err := tunnel.Reverse(patient(t), remote, local)
		must.OK(t, err)
		if strings.HasSuffix(endpoint, ":0") || strings.HasSuffix(endpoint, ":*") {
			t.Errorf("%s: %s, want a port", remote, endpoint)
		}
		reached := strings.Replace(endpoint, "*", "127.0.0.1", 1)
		for range 3 {
			says(t, dialEndpoint(t, reached), "hello from afar")
		}
		again, err := tunnel.Reverse(patient(t), remote, local)
		if err != nil || again != endpoint {
			t.Errorf("%s: %s, %v; want %s again", remote, again, err, endpoint)
		}
	}
	// Many at once, to a port that the server has chosen only now.
	unix := serveUnix(t, filepath.Join(dir, "local"))
	endpoint, err := tunnel.Reverse(patient(t), "tcp://127.0.0.1:0", unix)
	must.OK(t, err)
	done := make(chan error, 50)
	for range cap(done) {
		go func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
			if err == nil {
				_, err = io.WriteString(conn, "x")
			}
			if err == nil {
				_, err = io.ReadFull(conn, make([]byte, 1))
			}
			if err == nil {
				err = conn.Close()
			}
			done <- err
		}()
	}
	for range cap(done) {
		must.OK(t, <-done)
	}
	must.OK(t, tunnel.Close())
	testpeer.Eventually(t, "the server does not listen any more", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if _, err := tunnel.Reverse(patient(t), "tcp://127.0.0.1:0", local); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// serveUnix is an echo on a Unix socket.
func serveUnix(t *testing.T, path string) string {
	t.Helper()
	listener, err := net.Listen("unix", path)
	must.OK(t, err)
	serveOn(t, listener, func(conn net.Conn) {
		_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
	})
	return "ipc://" + path
}

// TestReverseIsRestored: after a lost connection the server listens again, on the same port.
func TestReverseIsRestored(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t, "StreamLocalBindUnlink yes")
	cfg := server.config(t)
	log := &logbuffer.Buffer{}
	cfg.Logger = log.Logger()
	tunnel := open(t, cfg)
	local := "tcp://" + echo(t)
	dir, err := os.MkdirTemp("", "reverse")
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, os.RemoveAll(dir)) })
	remote := fmt.Sprint("tcp://127.0.0.1:", testpeer.FreePort(t))
	port, err := tunnel.Reverse(patient(t), remote, local)
	must.OK(t, err)
	path, err := tunnel.Reverse(patient(t), "ipc://"+filepath.Join(dir, "socket"), local)
	must.OK(t, err)
	conn := dialEndpoint(t, port)
	says(t, conn, "before")
	server.stop(t)
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the stream lives on")
	}
	// Meanwhile somebody else has the port.
	taken, err := net.Listen("tcp", strings.TrimPrefix(port, "tcp://"))
	must.OK(t, err)
	must.OK(t, server.Start())
	testpeer.Eventually(t, "the port is refused", func() bool {
		return strings.Contains(log.String(), "cannot be restored yet")
	})
	must.OK(t, taken.Close())
	for _, endpoint := range []string{port, path} {
		testpeer.Eventually(t, endpoint+" is back", func() bool { return isEcho(endpoint) })
	}
}

// isEcho reports whether an echo is behind an endpoint.
func isEcho(endpoint string) bool {
	at, err := parseEndpoint(endpoint)
	if err != nil {
		return false
	}
	conn, err := net.Dial(at.addr().Network(), at.addr().String())
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, "x")
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	return err == nil
}

// TestReverseIsRefused: the error says so, and names what forbids it.
func TestReverseIsRefused(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t, "PermitListen 127.0.0.1:1")
	tunnel := open(t, server.config(t))
	_, err := tunnel.Reverse(patient(t), "tcp://127.0.0.1:0", "tcp://127.0.0.1:1")
	saysAll(t, err, "tcp://127.0.0.1:0 through", "the server refuses to listen", "PermitListen")
	for _, endpoints := range [][2]string{
		{"tcp://127.0.0.1", "tcp://127.0.0.1:1"}, {"tcp://*:x", "tcp://127.0.0.1:1"},
		{"ipc://x", "tcp://127.0.0.1:1"}, {"tcp://127.0.0.1:0", "tcp://127.0.0.1:0"},
		{"tcp://127.0.0.1:0", "tcp://*:1"}, {"udp://127.0.0.1:0", "tcp://127.0.0.1:1"},
	} {
		_, err := tunnel.Reverse(patient(t), endpoints[0], endpoints[1])
		saysAll(t, err, "endpoint")
	}
	server.stop(t)
	testpeer.Eventually(t, "the connection is lost", func() bool { return tunnel.Err() != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = tunnel.Reverse(ctx, "tcp://127.0.0.1:1", "tcp://127.0.0.1:1")
	saysAll(t, err, "the connection is down")
	if !errors.Is(err, context.DeadlineExceeded) || len(tunnel.reverses) != 0 {
		t.Errorf("%v, %d forwards", err, len(tunnel.reverses))
	}
}

// TestReverseWithoutLocalServer: if nobody listens on this machine, the client's connection ends,
// and later ones work.
func TestReverseWithoutLocalServer(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	cfg := server.config(t)
	log := &logbuffer.Buffer{}
	cfg.Logger = log.Logger()
	tunnel := open(t, cfg)
	path := filepath.Join(t.TempDir(), "s")
	endpoint, err := tunnel.Reverse(patient(t), "tcp://127.0.0.1:0", "ipc://"+path)
	must.OK(t, err)
	conn := dialEndpoint(t, endpoint)
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want the end", err)
	}
	if !strings.Contains(log.String(), "the remote cannot be reached") {
		t.Errorf("it is not logged:\n%s", log)
	}
	serveUnix(t, path)
	says(t, dialEndpoint(t, endpoint), "hello")
}
