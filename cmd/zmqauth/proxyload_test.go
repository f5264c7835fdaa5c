package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/proxy"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestProxyUnderLoad sends 100,000 requests of 50 CURVE clients. None is lost while the
// configuration is reloaded ten times and keys and another frontend come and go. The owner of a
// removed key is out, and stays out.
func TestProxyUnderLoad(t *testing.T) {
	const clients, requests, reloads = 50, 2000, 10
	dir := t.TempDir()
	keys := mkdir(t, dir, "clients")
	server := identity(t, dir, "server")
	certificates := make([]*zmqauth.Certificate, clients)
	for i := range certificates {
		certificates[i] = identity(t, keys, fmt.Sprintf("client%d", i))
	}
	zctx := testzmq.NewContext(t)
	must.OK(t, zctx.SetIoThreads(2))
	config := "domain = orders\n    allow = 127.0.0.1\n    curve = clients\n" +
		frontendConfig("orders", "router", "tcp://127.0.0.1:*", echo(t, zctx), "curve",
			"certificate = server.key_secret")
	other := frontendConfig("other", "pull", "ipc://WORK/other.sock", "ipc://WORK/backend.sock",
		"null")
	p := startProxy(t, dir, config, "--quiet")
	endpoint := p.endpoint("orders")

	sockets := make([]*zmq4.Socket, clients)
	for i := range sockets {
		sockets[i] = testzmq.NewSocket(t, zctx, zmq4.REQ)
		must.OK(t, enter(t, sockets[i], endpoint, server, certificates[i]))
	}
	var answered atomic.Int64
	var work sync.WaitGroup
	for i, socket := range sockets {
		work.Go(func() {
			for n := range requests {
				if err := ask(socket, fmt.Sprintf("%d of %d", n, i)); err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
			}
		})
	}
	refused := func(cert *zmqauth.Certificate) func() bool {
		return func() bool {
			socket := testzmq.NewSocket(t, zctx, zmq4.REQ)
			return errors.Is(enter(t, socket, endpoint, server, cert), zmqauth.ErrDenied)
		}
	}
	for i := range reloads {
		// The reloads are spread over the requests, so that each happens under load.
		testpeer.Eventually(t, "requests are answered", func() bool {
			return answered.Load() >= int64(i*clients*requests/(reloads+2)) || t.Failed()
		})
		guest := identity(t, keys, fmt.Sprintf("guest%d", i))
		p.configure(config + map[bool]string{true: other}[i%2 == 0])
		p.reload(proxy.MessageReloaded)
		socket := testzmq.NewSocket(t, zctx, zmq4.REQ)
		must.OK(t, enter(t, socket, endpoint, server, guest))
		must.OK(t, ask(socket, "hello"))
		cut := disconnection(t, zctx, socket)
		must.OK(t, os.Remove(filepath.Join(keys, fmt.Sprintf("guest%d.key", i))))
		cut()
		testpeer.Eventually(t, "the guest's next connection is refused", refused(guest))
	}
	work.Wait()
	cut := disconnection(t, zctx, sockets[0])
	must.OK(t, os.Remove(filepath.Join(keys, "client0.key")))
	p.reload(proxy.MessageReloaded)
	cut()
	if !refused(certificates[0])() {
		t.Error("after a reload a removed key gets in")
	}
	for i, socket := range sockets[1:] {
		must.OK(t, ask(socket, fmt.Sprintf("the last of %d", i)))
	}
	if got := answered.Load(); got != clients*requests {
		t.Errorf("%d answers", got)
	}
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Errorf("%v", err)
	}
	if line, lost := p.find(proxy.MessageLost, nil); lost != 0 {
		t.Errorf("%v", line)
	}
}

// disconnection returns a function that waits until a client's connection has been cut.
func disconnection(t *testing.T, zctx *zmq4.Context, socket *zmq4.Socket) (wait func()) {
	t.Helper()
	events := testzmq.NewSocket(t, zctx, zmq4.PAIR)
	endpoint := fmt.Sprintf("inproc://disconnection-%p", socket)
	must.OK(t, socket.Monitor(endpoint, zmq4.EVENT_DISCONNECTED))
	must.OK(t, events.Connect(endpoint))
	return func() {
		t.Helper()
		event, _, _, err := events.RecvEvent(0) // with a timeout
		must.OK(t, err)
		if event != zmq4.EVENT_DISCONNECTED {
			t.Errorf("event %v", event)
		}
		must.OK(t, socket.Monitor("", 0))
	}
}
