//go:build unix

package sshtunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestDialWaits: while the connection is down, Dial waits for it or until its context ends.
func TestDialWaits(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	tunnel := open(t, server.config(t))
	server.logged(t, "Accepted publickey", 1)
	server.stop(t)
	testpeer.Eventually(t, "an attempt has failed", func() bool {
		err := tunnel.Err()
		return err != nil && strings.Contains(err.Error(), "refused")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := tunnel.Dial(ctx, "tcp", address)
	saysAll(t, err, "the connection is down", "connection refused", address)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v does not say why", err)
	}
	dialled := make(chan error, 5)
	for range cap(dialled) {
		go func() {
			conn, err := tunnel.Dial(patient(t), "tcp", address)
			if err == nil {
				err = conn.Close()
			}
			dialled <- err
		}()
	}
	must.OK(t, server.Start())
	for range cap(dialled) {
		must.OK(t, <-dialled)
	}
	server.logged(t, "Accepted publickey", 2) // one for all five
}

// TestStreamsEndWithAnError: a stream that a lost connection cuts off does not look complete.
func TestStreamsEndWithAnError(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	tunnel := open(t, server.config(t))
	conn, err := tunnel.Dial(patient(t), "tcp", address)
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello")
	server.stop(t)
	_, err = io.ReadAll(conn)
	saysAll(t, err, "127.0.0.1")
	if _, err := conn.Write([]byte("more")); err == nil {
		t.Error("what is written seems to go somewhere")
	}

	must.OK(t, server.Start())
	conn, err = tunnel.Dial(patient(t), "tcp", address)
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello again")
	must.OK(t, tunnel.Close())
	if _, err := io.ReadAll(conn); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	if _, err := tunnel.Dial(patient(t), "tcp", address); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	if !errors.Is(tunnel.Err(), ErrClosed) {
		t.Errorf("%v, want ErrClosed", tunnel.Err())
	}
}

// TestSilentlyGone: a connection is given up if its server does not answer any more, as behind a
// cut cable.
func TestSilentlyGone(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	cfg := server.config(t)
	cfg.KeepAlive = 250 * time.Millisecond
	address := echo(t)
	tunnel := open(t, cfg)
	conn, err := tunnel.Dial(patient(t), "tcp", address)
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello")
	sessions := server.Sessions()
	if len(sessions) == 0 {
		t.Fatal("no process of sshd's has the connection")
	}
	for _, pid := range sessions {
		must.OK(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.ReadAll(conn)
	saysAll(t, err, "does not answer any more")
	echoes(t, tunnel, address) // over another connection
}

// TestBusyIsNotSilent: a busy connection does not count as lost, however long answers take.
func TestBusyIsNotSilent(t *testing.T) {
	server := newSSHD(t)
	cfg := server.config(t)
	cfg.KeepAlive = 50 * time.Millisecond
	stop := make(chan struct{})
	address := serve(t, func(conn net.Conn) {
		block := make([]byte, 1<<16)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := conn.Write(block); err != nil {
					return
				}
			}
		}
	})
	tunnel := open(t, cfg)
	conn, err := tunnel.Dial(patient(t), "tcp", address)
	must.OK(t, err)
	defer conn.Close()
	time.AfterFunc(20*cfg.KeepAlive, func() { close(stop) })
	if n, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("after %d bytes: %v", n, err)
	}
}

// TestOtherServerComesBack: a server with another key is never accepted, however often it is tried.
// When the right one is back, or known_hosts has changed, the tunnel works again.
func TestOtherServerComesBack(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	cfg := server.config(t)
	log := &logbuffer.Buffer{}
	cfg.Logger = log.Logger()
	tunnel := open(t, cfg)
	right := readText(t, server.HostKey)
	server.logged(t, "Accepted publickey", 1)
	server.stop(t)
	must.OK(t, os.Remove(server.HostKey))
	newKey(t, filepath.Join(t.TempDir(), "other"))
	write(t, server.HostKey, readText(t, newKey(t, filepath.Join(t.TempDir(), "other"))))
	must.OK(t, server.Start())
	testpeer.Eventually(t, "it has been tried twice", func() bool {
		return strings.Count(log.String(), "host key has changed") >= 2
	})
	if err := tunnel.Err(); !errors.Is(err, ErrHostKeyChanged) {
		t.Errorf("%v, want ErrHostKeyChanged", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := tunnel.Dial(ctx, "tcp", address); !errors.Is(err, ErrHostKeyChanged) {
		t.Errorf("%v, want ErrHostKeyChanged", err)
	}
	server.logged(t, "Accepted publickey", 1) // before it became another
	write(t, server.HostKey, right)
	server.stop(t)
	must.OK(t, server.Start())
	echoes(t, tunnel, address)
}

// TestUserIsRefusedLater: if the server refuses the user after a while, attempts become rare. The
// tunnel works again when the server accepts the user.
func TestUserIsRefusedLater(t *testing.T) {
	server := newSSHD(t)
	address := echo(t)
	tunnel := open(t, server.config(t))
	keys := filepath.Join(server.Dir, "authorized_keys")
	key := readText(t, keys)
	write(t, keys, "")
	server.stop(t)
	must.OK(t, server.Start())
	testpeer.Eventually(t, "the user is refused", func() bool {
		var refused *AuthError
		return errors.As(tunnel.Err(), &refused)
	})
	write(t, keys, key)
	echoes(t, tunnel, address)
}
