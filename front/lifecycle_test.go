//go:build linux

package front

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestClose: the listener and all connections end, and nobody reaches the socket any more.
func TestClose(t *testing.T) {
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	private := "tcp://" + s.front.engine.fence.at.String()
	var closing sync.WaitGroup
	conn := dial(t, s.front.Endpoint(), "")
	if !enter(t, conn) {
		t.Fatal("not let in")
	}
	s.sessions(t, 1)
	for range 4 {
		closing.Go(func() { must.OK(t, s.front.Close()) })
	}
	closing.Wait()
	isClosed(t, conn)
	s.sessions(t, 0)
	if _, err := tryDial(s.front.Endpoint(), ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	stranger := dial(t, private, "")
	must.OK(t, stranger.SetDeadline(time.Now().Add(300*time.Millisecond)))
	if enter(t, stranger) {
		t.Error("a stranger reaches the socket")
	}
	if stats := s.front.Stats(); stats.Open != 0 || stats.Relayed != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestSocketCloses: a Front ends with its socket.
func TestSocketCloses(t *testing.T) {
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	conn := dial(t, s.front.Endpoint(), "")
	if !enter(t, conn) {
		t.Fatal("not let in")
	}
	must.OK(t, s.socket.Close())
	isClosed(t, conn)
	testpeer.Eventually(t, "nobody listens", func() bool {
		conn, err := tryDial(s.front.Endpoint(), "")
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	s.socket = testzmq.NewSocket(t, s.zctx, zmq4.ROUTER) // for the cleanup
}

// TestShutdown: those who are in stay until they go.
func TestShutdown(t *testing.T) {
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	conn := dial(t, s.front.Endpoint(), "")
	if !enter(t, conn) {
		t.Fatal("not let in")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.front.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := tryDial(s.front.Endpoint(), ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	_, err := conn.Write([]byte("\x00\x05hello"))
	must.OK(t, err)
	got, err := s.socket.RecvMessage(0)
	if err != nil || got[1] != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	done := make(chan error)
	go func() { done <- s.front.Shutdown(t.Context()) }()
	must.OK(t, conn.Close())
	must.OK(t, <-done)
}

// TestReplace: Fronts take over from each other under clients that come all the time: each of them
// gets in, whichever Front it meets, and none is cut.
func TestReplace(t *testing.T) {
	for _, endpoint := range []string{"tcp://127.0.0.1:*",
		"ipc://" + filepath.Join(t.TempDir(), "socket")} {
		t.Run(endpoint[:3], func(t *testing.T) { testReplace(t, endpoint) })
	}
}

func testReplace(t *testing.T, endpoint string) {
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, "NULL", endpoint, nil)
	endpoint = s.front.Endpoint()
	var stop atomic.Bool
	var coming sync.WaitGroup
	var entered atomic.Int64
	for range 4 {
		coming.Go(func() {
			for !stop.Load() {
				conn, err := dialAny(endpoint)
				if err != nil {
					t.Errorf("connecting: %v", err)
					return
				}
				if !enter(t, conn) {
					t.Error("not let in")
				}
				entered.Add(1)
				_ = conn.Close()
			}
		})
	}
	first, err := dialAny(endpoint)
	must.OK(t, err)
	defer first.Close()
	if !enter(t, first) {
		t.Fatal("not let in")
	}
	var fronts []*Front
	for i := range 10 {
		seen := entered.Load()
		old := s.front
		s.front, err = Listen(s.a, s.socket, endpoint, &Config{Replace: old})
		must.OK(t, err)
		if s.front.Endpoint() != endpoint {
			t.Errorf("at %s", s.front.Endpoint())
		}
		if _, err := Listen(s.a, s.socket, endpoint, &Config{Replace: old}); !errors.Is(err,
			ErrClosed) {
			t.Errorf("%v", err)
		}
		fronts = append(fronts, old)
		testpeer.Eventually(t, fmt.Sprintf("clients come after change %d", i),
			func() bool { return entered.Load() > seen+20 || t.Failed() })
	}
	stop.Store(true)
	coming.Wait()
	_, err = first.Write([]byte("\x00\x05hello"))
	must.OK(t, err)
	must.OK(t, s.socket.SetRcvtimeo(patience))
	got, err := s.socket.RecvMessage(0)
	if err != nil || got[1] != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	for _, old := range fronts {
		must.OK(t, old.Close())
	}
}

// TestReplaceWaiting: a client that comes when a Front takes over gets in, also if nobody comes
// after it.
func TestReplaceWaiting(t *testing.T) {
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	for range 100 {
		old := s.front
		var err error
		s.front, err = Listen(s.a, s.socket, old.Endpoint(), &Config{Replace: old})
		must.OK(t, err)
		if !s.enters(t, "") {
			t.Fatal("not let in")
		}
		must.OK(t, old.Close())
	}
}

// TestTooFewDescriptors: the process keeps some, whoever connects, and goes on afterwards.
func TestTooFewDescriptors(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	var limit syscall.Rlimit
	must.OK(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = uint64(testpeer.Descriptors() + 120)
	must.OK(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	var conns []interface{ Close() error }
	for range 100 {
		conn, err := tryDial(s.front.Endpoint(), "")
		if err != nil {
			break // this process has no more either, or was refused
		}
		conns = append(conns, conn)
		_, _ = conn.Write(greetingOf())
	}
	s.refused(t, "too-few-descriptors", 1)
	for _, conn := range conns {
		_ = conn.Close()
	}
	file, err := os.Open("/")
	must.OK(t, err)
	must.OK(t, file.Close())
	testpeer.Eventually(t, "clients get in again", func() bool { return s.enters(t, "") })
}
