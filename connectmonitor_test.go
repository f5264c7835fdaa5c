package zmqauth

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestConnectTakesTheMonitor: a socket has one monitor. Connect ends the program's own, and its
// reader is told so.
func TestConnectTakesTheMonitor(t *testing.T) {
	server := newServer(t, testzmq.NewContext(t), "tcp://127.0.0.1:*", nullClient)
	zctx := testzmq.NewContext(t)
	socket, reader := testzmq.NewSocket(t, zctx, zmq4.PUSH), testzmq.NewSocket(t, zctx, zmq4.PAIR)
	const own = "inproc://own-monitor"
	must.OK(t, errors.Join(reader.SetRcvtimeo(patience), reader.Connect(own)))
	must.OK(t, socket.Monitor(own, zmq4.EVENT_HANDSHAKE_SUCCEEDED|zmq4.EVENT_MONITOR_STOPPED))
	must.OK(t, Connect(within(t, patience), socket, server.endpoint))
	if event, _, _, err := reader.RecvEvent(0); err != nil || event != zmq4.EVENT_MONITOR_STOPPED {
		t.Errorf("the program's monitor: %v, %v", event, err)
	}
}

// TestConnectWithAnUnreadMonitor: libzmq does not end a monitor that nobody reads. Connect does not
// wait for that longer than its context lasts.
func TestConnectWithAnUnreadMonitor(t *testing.T) {
	endpoint := nobodysEndpoint(t)
	zctx := testzmq.NewContext(t)
	socket, reader := testzmq.NewSocket(t, zctx, zmq4.PUSH), testzmq.NewSocket(t, zctx, zmq4.PAIR)
	const own = "inproc://own-monitor"
	must.OK(t, socket.Monitor(own, zmq4.EVENT_ALL))
	err := Connect(within(t, 50*time.Millisecond), socket, endpoint)
	if !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "a monitor that nobody reads") {
		t.Errorf("%v", err)
	}
	before := runtime.NumGoroutine()
	must.OK(t, reader.Connect(own)) // so that libzmq can go on, and the context end
	testpeer.Eventually(t, "the monitor that was set too late is undone", func() bool {
		return runtime.NumGoroutine() < before
	})
}

// TestConnectAtTheLimitOfSockets: where the context has too few sockets left, Connect returns an
// error in time.
func TestConnectAtTheLimitOfSockets(t *testing.T) {
	server := newServer(t, testzmq.NewContext(t), "tcp://127.0.0.1:*", nullClient)
	const most = 8
	for free := range 4 {
		zctx := testzmq.NewContext(t)
		must.OK(t, zctx.SetMaxSockets(most))
		var socket *zmq4.Socket
		for range most - free {
			socket = testzmq.NewSocket(t, zctx, zmq4.PUSH)
		}
		err := Connect(within(t, 10*time.Second), socket, server.endpoint)
		if free >= 2 && err != nil || free < 2 && !errors.Is(err, zmq4.Errno(syscall.EMFILE)) {
			t.Errorf("%d sockets left: %v", free, err)
		}
	}
}

// TestConnectSilenceAfterACut: libzmq cuts a handshake off where a reply of 300 is very fast, and
// leaves it open otherwise. Connect does not take one cut and then silence for a server that cuts
// every handshake off.
func TestConnectSilenceAfterACut(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer func() { must.OK(t, listener.Close()) }()
	go func() {
		for first := true; ; first = false {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if first {
				_ = conn.Close()
			} else {
				defer conn.Close()
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), cutTime+time.Second)
	defer cancel()
	socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	err = Connect(ctx, socket, "tcp://"+listener.Addr().String())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "300") {
		t.Errorf("%v", err)
	}
}

// TestConnectHearsItsOwnEndpoint: Connect reports about its own endpoint. The same socket has a
// connection to another server, which accepts it or keeps refusing it.
func TestConnectHearsItsOwnEndpoint(t *testing.T) {
	a := startAuthenticator(t, Config{})
	must.OK(t, a.DenyDomain("closed", "127.0.0.1"))
	open := newServer(t, a.Context(), "tcp://127.0.0.1:*", nullServer("open")).endpoint
	closed := newServer(t, a.Context(), "tcp://127.0.0.1:*", nullServer("closed")).endpoint
	for range 10 {
		for _, test := range []struct {
			other, endpoint string
			want            int
		}{{open, closed, 400}, {closed, open, 200}} {
			socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
			must.OK(t, socket.Connect(test.other))
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			if err := Connect(ctx, socket, test.endpoint); status(err) != test.want {
				t.Errorf("%v, want status %d", err, test.want)
			}
			cancel()
		}
	}
}

// TestConnectTransports: Connect works over all transports and with all forms of an endpoint,
// because the monitor's events name endpoints as Connect expects.
func TestConnectTransports(t *testing.T) {
	a := startAuthenticator(t, Config{})
	must.OK(t, a.DenyDomain("closed", "127.0.0.0/8", "::1", "ipc"))
	for _, bind := range []string{"tcp://127.0.0.1:*", "tcp://[::1]:*", "ipc://*"} {
		t.Run(bind, func(t *testing.T) {
			for domain, want := range map[string]int{"open": 200, "closed": 400} {
				server := newServer(t, a.Context(), bind, nullServer(domain))
				endpoints := []string{server.endpoint}
				if port, ok := strings.CutPrefix(server.endpoint, "tcp://127.0.0.1:"); ok {
					endpoints = append(endpoints, "tcp://localhost:"+port, "tcp://127.0.0.1:0;127.0.0.1:"+port)
				}
				for _, endpoint := range endpoints {
					if _, err := connect(t, endpoint, nullClient); status(err) != want {
						t.Errorf("%s: %v, want status %d", endpoint, err, want)
					}
				}
			}
		})
	}
	zctx := testzmq.NewContext(t)
	server := newServer(t, zctx, "inproc://here", nullClient)
	if _, err := connectFrom(t, zctx, server.endpoint, nullClient); err != nil {
		t.Errorf("inproc: %v", err)
	}
}
