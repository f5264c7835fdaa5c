//go:build unix

package sshtunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestCloseAmongOthers: Close comes while many goroutines dial, write, forward and close.
// Everything ends, and each error says why.
func TestCloseAmongOthers(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	for range 5 {
		tunnel := open(t, server.config(t))
		endpoint, err := tunnel.Forward("tcp://" + address)
		must.OK(t, err)
		path := strings.TrimPrefix(endpoint, "ipc://")
		var work sync.WaitGroup
		var streams atomic.Int32
		for i := range 20 {
			work.Go(func() {
				for {
					var conn net.Conn
					var err error
					if i%2 == 0 {
						conn, err = tunnel.Dial(context.Background(), "tcp", address)
						if err != nil && !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
					} else {
						conn, err = net.Dial("unix", path)
					}
					if err != nil {
						return
					}
					streams.Add(1)
					if _, err := io.WriteString(conn, "hello"); err == nil {
						_, _ = io.ReadFull(conn, make([]byte, 5))
					}
					_ = conn.Close()
				}
			})
		}
		testpeer.Eventually(t, "they are at it", func() bool { return streams.Load() > 50 })
		work.Go(func() { must.OK(t, tunnel.Close()) })
		must.OK(t, tunnel.Close())
		work.Wait()
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	}
}

// TestCloseWhileReconnecting: Close does not wait for a server that does not answer.
func TestCloseWhileReconnecting(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	server.stop(t)
	listener, err := net.Listen("tcp", strings.Trim(strings.ReplaceAll(server.Name(), "]", ""), "["))
	must.OK(t, err)
	reached := make(chan struct{}, 100)
	serveOn(t, listener, func(conn net.Conn) { // it takes sshd's port and is silent
		reached <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	<-reached
	waiting := make(chan error, 1)
	go func() {
		_, err := tunnel.Dial(context.Background(), "tcp", "127.0.0.1:1")
		waiting <- err
	}()
	began := time.Now()
	must.OK(t, tunnel.Close())
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	if took := time.Since(began); took > defaultConnectTimeout/2 {
		t.Errorf("it takes %s", took)
	}
}

// faultyListener has too many open files for a while.
type faultyListener struct {
	net.Listener
	faults atomic.Int32
}

func (l *faultyListener) Accept() (net.Conn, error) {
	if l.faults.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// TestForwardSurvivesTooManyFiles: a forward that cannot accept for a while works again later.
func TestForwardSurvivesTooManyFiles(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	to, err := parseEndpoint("tcp://" + echo(t))
	must.OK(t, err)
	f := &forward{remote: to, log: reachability{tunnel: tunnel}}
	f.localListener = &localListener{tunnel: tunnel, carry: f.carry}
	tunnel.mu.Lock()
	must.OK(t, f.localListener.open(remote{}, 1))
	faulty := &faultyListener{Listener: f.Listener}
	faulty.faults.Store(3)
	f.Listener = faulty
	tunnel.listeners = append(tunnel.listeners, f.localListener)
	tunnel.work.Go(f.serve)
	tunnel.mu.Unlock()
	conn, err := net.Dial("unix", strings.TrimPrefix(f.endpoint, "ipc://"))
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello")
}

// TestSecretsAreForgotten: after Close no answer of a callback is kept.
func TestSecretsAreForgotten(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	server := newSSHD(t, allowPassword)
	cfg := server.config(t)
	cfg.KeyFile = ""
	cfg.Password = func() (string, error) { return thePassword, nil }
	tunnel := open(t, cfg)
	if len(tunnel.secrets.known) != 1 {
		t.Errorf("%d answers are remembered", len(tunnel.secrets.known))
	}
	must.OK(t, tunnel.Close())
	if len(tunnel.secrets.known) != 0 {
		t.Errorf("%d answers are still remembered", len(tunnel.secrets.known))
	}
}
