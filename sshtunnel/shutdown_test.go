//go:build unix

package sshtunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestShutdown: nobody can connect any more, at either end, and what is under way goes on until it
// has ended.
func TestShutdown(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	target := echo(t)
	tunnel := open(t, server.config(t))
	local, err := tunnel.ForwardTo("tcp://"+target, "tcp://127.0.0.1:0")
	must.OK(t, err)
	reversed, err := tunnel.Reverse(t.Context(), "tcp://127.0.0.1:0", "tcp://"+target)
	must.OK(t, err)
	conns := []net.Conn{dialEndpoint(t, local), dialEndpoint(t, reversed)}
	for _, conn := range conns {
		says(t, conn, "hello")
	}
	ended := make(chan error, 1)
	go func() { ended <- tunnel.Shutdown(context.Background()) }()
	for _, endpoint := range []string{local, reversed} {
		testpeer.Eventually(t, endpoint+" is closed", func() bool {
			conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		})
	}
	for _, conn := range conns {
		says(t, conn, "still here")
		must.OK(t, conn.Close())
	}
	must.OK(t, <-ended)
	if !errors.Is(tunnel.Err(), ErrClosed) {
		t.Error(tunnel.Err())
	}
}

// TestShutdownCuts: when the time is over, streams are cut.
func TestShutdownCuts(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	conn, err := tunnel.Dial(t.Context(), "tcp", echo(t))
	must.OK(t, err)
	says(t, conn, "hello")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tunnel.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the stream ends with %v", err)
	}
	must.OK(t, conn.Close())
	must.OK(t, tunnel.Shutdown(context.Background()))
}

// TestServeSOCKS: a connection that the program has accepted is served as one of SOCKS, and closed
// after Close.
func TestServeSOCKS(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	client, accepted, err := loopbackPair()
	must.OK(t, err)
	served := make(chan error, 1)
	go func() { served <- tunnel.ServeSOCKS(accepted) }()
	_, err = client.Write(request(t, echo(t)))
	must.OK(t, err)
	_, err = io.ReadFull(client, make([]byte, 12))
	must.OK(t, err)
	says(t, client, "hello")
	must.OK(t, client.Close())
	must.OK(t, <-served)

	one, other := net.Pipe()
	if err := tunnel.ServeSOCKS(one); err == nil {
		t.Error("a connection that cannot be half-closed is served")
	}
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("it is open: %v", err)
	}
	must.OK(t, tunnel.Close())
	client, accepted, err = loopbackPair()
	must.OK(t, err)
	defer client.Close()
	if err := tunnel.ServeSOCKS(accepted); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestServeSOCKSIsBounded: when all slots are taken, a connection waits for one, and Close ends the
// wait.
func TestServeSOCKSIsBounded(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	if cap(tunnel.socks) != maxSOCKS {
		t.Errorf("%d slots", cap(tunnel.socks))
	}
	tunnel.socks = make(chan struct{}, 1)
	sent := request(t, echo(t))
	start := func() (net.Conn, chan error) {
		t.Helper()
		client, accepted, err := loopbackPair()
		must.OK(t, err)
		t.Cleanup(func() { _ = client.Close() })
		_, err = client.Write(sent)
		must.OK(t, err)
		served := make(chan error, 1)
		go func() { served <- tunnel.ServeSOCKS(accepted) }()
		return client, served
	}
	isServed := func(client net.Conn) {
		t.Helper()
		must.OK(t, client.SetReadDeadline(time.Now().Add(patience)))
		_, err := io.ReadFull(client, make([]byte, 12))
		must.OK(t, err)
	}
	waits := func(client net.Conn) {
		t.Helper()
		must.OK(t, client.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it is served: %v", err)
		}
	}
	first, firstServed := start()
	isServed(first)
	second, secondServed := start()
	waits(second)
	must.OK(t, first.Close())
	must.OK(t, <-firstServed)
	isServed(second)
	third, thirdServed := start()
	waits(third)
	must.OK(t, tunnel.Close())
	must.OK(t, <-secondServed)
	if err := <-thirdServed; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	must.OK(t, third.SetReadDeadline(time.Now().Add(patience)))
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is open: %v", err)
	}
}
