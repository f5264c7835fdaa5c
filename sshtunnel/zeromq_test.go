//go:build cgo && unix

package sshtunnel

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

var _ Connector = (*zmq4.Socket)(nil)

// answers runs a REP socket that sends back each request, until the test ends, and returns its
// endpoint.
func answers(t testing.TB, ctx *zmq4.Context) string {
	t.Helper()
	rep := testzmq.NewSocket(t, ctx, zmq4.REP)
	must.OK(t, rep.Bind("tcp://127.0.0.1:*"))
	endpoint, err := rep.GetLastEndpoint()
	must.OK(t, err)
	ended := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(ended)
		must.OK(t, rep.SetRcvtimeo(20*time.Millisecond))
		for {
			select {
			case <-stop:
				return
			default:
			}
			if message, err := rep.RecvMessageBytes(0); err == nil {
				_, _ = rep.SendMessage(message)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
	})
	return endpoint
}

// newREQ returns a REQ socket that may repeat a request if the answer was lost with a connection.
func newREQ(t testing.TB, ctx *zmq4.Context) *zmq4.Socket {
	t.Helper()
	req := testzmq.NewSocket(t, ctx, zmq4.REQ)
	must.OK(t, errors.Join(req.SetReqRelaxed(1), req.SetReqCorrelate(1)))
	must.OK(t, req.SetRcvtimeo(200*time.Millisecond))
	return req
}

// ask repeats a request until the answer comes.
func ask(t testing.TB, req *zmq4.Socket, question string) {
	t.Helper()
	testpeer.Eventually(t, "an answer to "+question, func() bool {
		_, err := req.Send(question, 0)
		must.OK(t, err)
		answer, err := req.Recv(0)
		if err == nil && answer != question {
			t.Fatalf("%q is answered to %q", answer, question)
		}
		return err == nil
	})
}

// TestConnect connects several types of ZeroMQ sockets through one tunnel.
func TestConnect(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	for name, localTCP := range map[string]bool{"ipc": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			ctx := testzmq.NewContext(t)
			cfg := server.config(t)
			cfg.LocalTCP = localTCP
			tunnel := open(t, cfg)
			endpoint := answers(t, ctx)
			for i := range 20 {
				req := newREQ(t, ctx)
				must.OK(t, tunnel.Connect(req, endpoint))
				ask(t, req, fmt.Sprint("question ", i))
			}
			if len(tunnel.forwards) != 1 {
				t.Errorf("%d forwards for one remote", len(tunnel.forwards))
			}
			pull := testzmq.NewSocket(t, ctx, zmq4.PULL)
			must.OK(t, pull.Bind("tcp://127.0.0.1:*"))
			remote, err := pull.GetLastEndpoint()
			must.OK(t, err)
			push := testzmq.NewSocket(t, ctx, zmq4.PUSH)
			must.OK(t, tunnel.Connect(push, remote))
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

// TestManySockets connects a hundred sockets at once, each with a stream of its own.
func TestManySockets(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	ctx := testzmq.NewContext(t)
	tunnel := open(t, server.config(t))
	router := testzmq.NewSocket(t, ctx, zmq4.ROUTER)
	must.OK(t, router.Bind("tcp://127.0.0.1:*"))
	endpoint, err := router.GetLastEndpoint()
	must.OK(t, err)
	const sockets = 100
	var clients []*zmq4.Socket
	for i := range sockets {
		dealer := testzmq.NewSocket(t, ctx, zmq4.DEALER)
		must.OK(t, tunnel.Connect(dealer, endpoint))
		_, err := dealer.Send(fmt.Sprint(i), 0)
		must.OK(t, err)
		clients = append(clients, dealer)
	}
	for range sockets {
		message, err := router.RecvMessageBytes(0)
		must.OK(t, err)
		_, err = router.SendMessage(message)
		must.OK(t, err)
	}
	for i, dealer := range clients {
		if got, err := dealer.Recv(0); err != nil || got != fmt.Sprint(i) {
			t.Errorf("socket %d gets %q, %v", i, got, err)
		}
	}
}

// TestServerComesLater: libzmq tries again if nobody listens at the remote yet, and that is logged
// once.
func TestServerComesLater(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	ctx := testzmq.NewContext(t)
	log := &logbuffer.Buffer{}
	cfg := server.config(t)
	cfg.Logger = log.Logger()
	tunnel := open(t, cfg)
	endpoint := fmt.Sprint("tcp://127.0.0.1:", testpeer.FreePort(t))
	req := newREQ(t, ctx)
	must.OK(t, tunnel.Connect(req, endpoint))
	testpeer.Eventually(t, "it has been tried three times", func() bool {
		return strings.Count(log.String(), "cannot be reached") >= 3
	})
	if warnings := strings.Count(log.String(), "level=WARN"); warnings != 1 {
		t.Errorf("%d warnings:\n%s", warnings, log)
	}
	rep := testzmq.NewSocket(t, ctx, zmq4.REP)
	must.OK(t, rep.Bind(endpoint))
	_, err := req.Send("at last", 0)
	must.OK(t, err)
	got, err := rep.Recv(0)
	if err != nil || got != "at last" {
		t.Errorf("%q, %v", got, err)
	}
	testpeer.Eventually(t, "that is logged", func() bool {
		return strings.Contains(log.String(), "can be reached again")
	})
}

// TestServerRestarts kills sshd several times under a live pair of ZeroMQ sockets. When it is back,
// requests work again.
func TestServerRestarts(t *testing.T) {
	testpeer.NothingLeft(t)
	for name, localTCP := range map[string]bool{"ipc": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			server := newSSHD(t)
			ctx := testzmq.NewContext(t)
			endpoint := answers(t, ctx)
			cfg := server.config(t)
			cfg.LocalTCP = localTCP
			tunnel := open(t, cfg)
			req := newREQ(t, ctx)
			must.OK(t, tunnel.Connect(req, endpoint))
			for i := range 3 {
				for j := range 20 {
					ask(t, req, fmt.Sprint("question ", i, j))
				}
				server.stop(t)
				testpeer.Eventually(t, "the loss is noticed", func() bool { return tunnel.Err() != nil })
				must.OK(t, server.Start())
			}
			ask(t, req, "last question")
			must.OK(t, tunnel.Err())
		})
	}
}

// TestPlainREQ: a REQ socket without any options works again, too, if no answer was missing when
// the connection was lost.
func TestPlainREQ(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	ctx := testzmq.NewContext(t)
	endpoint := answers(t, ctx)
	tunnel := open(t, server.config(t))
	req := testzmq.NewSocket(t, ctx, zmq4.REQ)
	must.OK(t, tunnel.Connect(req, endpoint))
	for i := range 3 {
		question := fmt.Sprint("question ", i)
		_, err := req.Send(question, 0)
		must.OK(t, err)
		if got, err := req.Recv(0); err != nil || got != question {
			t.Fatalf("%q, %v", got, err)
		}
		server.stop(t)
		testpeer.Eventually(t, "the stream has ended", func() bool {
			tunnel.mu.Lock()
			defer tunnel.mu.Unlock()
			return tunnel.conn == nil
		})
		must.OK(t, server.Start())
	}
}

// TestSOCKSForZeroMQ: libzmq's client of SOCKS reaches a server through the proxy.
func TestSOCKSForZeroMQ(t *testing.T) {
	server := newSSHD(t)
	tunnel := open(t, server.config(t))
	proxy, err := tunnel.SOCKS("tcp://127.0.0.1:0")
	must.OK(t, err)
	rep, err := zmq4.NewSocket(zmq4.REP)
	must.OK(t, err)
	defer rep.Close()
	must.OK(t, rep.Bind("tcp://127.0.0.1:*"))
	endpoint, err := rep.GetLastEndpoint()
	must.OK(t, err)
	req, err := zmq4.NewSocket(zmq4.REQ)
	must.OK(t, err)
	defer req.Close()
	for _, socket := range []*zmq4.Socket{req, rep} {
		must.OK(t, socket.SetLinger(0))
		must.OK(t, socket.SetRcvtimeo(patience))
	}
	must.OK(t, req.SetSocksProxy(strings.TrimPrefix(proxy, "tcp://")))
	must.OK(t, req.Connect(strings.TrimRight(endpoint, "\x00")))
	_, err = req.Send("hello", 0)
	must.OK(t, err)
	got, err := rep.Recv(0)
	if err != nil || got != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	server.logged(t, "Accepted publickey", 1)
}
