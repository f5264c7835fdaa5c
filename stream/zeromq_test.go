//go:build cgo && unix

package stream

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// zmqSocket makes a socket that is closed before its context ends with the test.
func zmqSocket(t *testing.T, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	ctx, err := zmq4.NewContext()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, ctx.Term()) })
	s, err := ctx.NewSocket(kind)
	must.OK(t, err)
	must.OK(t, s.SetLinger(0))
	must.OK(t, s.SetRcvtimeo(patience))
	must.OK(t, s.SetSndtimeo(patience))
	t.Cleanup(func() { must.OK(t, s.Close()) })
	return s
}

// zmqBackend starts a ZeroMQ socket at a private endpoint and a TLS server that forwards to it.
func zmqBackend(t *testing.T, kind zmq4.Type) (s *zmq4.Socket, remote string, client TLSClient) {
	t.Helper()
	s = zmqSocket(t, kind)
	back := "ipc://" + filepath.Join(t.TempDir(), "backend")
	must.OK(t, s.Bind(back))
	_, remote, client = tlsServer(t, func(server *Server) {
		server.Handler = func(ctx context.Context, conn net.Conn, _ any) {
			_ = Forward(ctx, conn, "", back)
		}
	})
	return s, remote, client
}

// TestZeroMQRequests: a REQ and a REP socket talk over mutual TLS, with both kinds of local
// endpoint, also after the TLS connection was cut.
func TestZeroMQRequests(t *testing.T) {
	rep, remote, client := zmqBackend(t, zmq4.REP)
	for _, local := range []string{"", "tcp://127.0.0.1:0"} {
		cut := newListener(t) // what lies between is a machine that can be cut
		var conns connSet
		backend(t, cut, func(conn net.Conn) {
			conns.add(conn)
			other, err := net.Dial("tcp", remote)
			if err != nil {
				return
			}
			_ = pipe(context.Background(), end{"one", conn}, end{"another", other})
		})
		f := forwardTLS(t, local, cut.Addr().String(), client)
		for i := range 3 {
			req := zmqSocket(t, zmq4.REQ)
			must.OK(t, req.SetReqRelaxed(1)) // so that a request may be sent again
			must.OK(t, req.SetReqCorrelate(1))
			must.OK(t, req.SetRcvtimeo(500*time.Millisecond))
			must.OK(t, req.Connect(f.Endpoint()))
			for j := range 3 {
				question := fmt.Sprint("question ", i, j)
				if answer := ask(t, req, rep, question); answer != "answer to "+question {
					t.Fatalf("%q", answer)
				}
				conns.close()
			}
		}
	}
}

// ask sends a request until there is a reply to it.
func ask(t *testing.T, req, rep *zmq4.Socket, question string) string {
	t.Helper()
	must.OK(t, rep.SetRcvtimeo(500*time.Millisecond))
	for begun := time.Now(); time.Since(begun) < patience; {
		_, err := req.Send(question, 0)
		must.OK(t, err)
		// Answer all requests that wait. The first may be an old one, whose answer is not awaited.
		for text, err := rep.Recv(0); err == nil; text, err = rep.Recv(zmq4.DONTWAIT) {
			_, err := rep.Send("answer to "+text, 0)
			must.OK(t, err)
		}
		if answer, err := req.Recv(0); err == nil {
			return answer
		}
	}
	t.Fatal("no answer")
	return ""
}

// connSet is a set of connections that can be cut.
type connSet struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *connSet) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
}

func (c *connSet) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// TestZeroMQMessages: a hundred thousand messages arrive, all of them and in order, from a socket
// that is closed as soon as it has sent them.
func TestZeroMQMessages(t *testing.T) {
	const count = 100_000
	pull, remote, client := zmqBackend(t, zmq4.PULL)
	f := forwardTLS(t, "", remote, client)
	push := zmqSocket(t, zmq4.PUSH)
	must.OK(t, push.SetLinger(patience))
	must.OK(t, push.Connect(f.Endpoint()))
	sent := make(chan error, 1)
	go func() {
		for i := range count {
			if _, err := push.Send(fmt.Sprint(i), 0); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range count {
		text, err := pull.Recv(0)
		must.OK(t, err)
		if text != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, text)
		}
	}
	must.OK(t, <-sent)
}

// TestZeroMQStranger: without a certificate no message gets through.
func TestZeroMQStranger(t *testing.T) {
	pull, remote, client := zmqBackend(t, zmq4.PULL)
	log := &logbuffer.Buffer{}
	stranger := TLSClient{CAFile: client.CAFile, Logger: log.Logger()}
	push := zmqSocket(t, zmq4.PUSH)
	must.OK(t, push.Connect(forwardTLS(t, "", remote, stranger).Endpoint()))
	_, err := push.Send("let me in", 0)
	must.OK(t, err)
	testpeer.Eventually(t, "the refusal is logged", func() bool {
		return strings.Contains(log.String(), "remote error: tls: ")
	})
	friend := zmqSocket(t, zmq4.PUSH)
	must.OK(t, friend.Connect(forwardTLS(t, "", remote, client).Endpoint()))
	_, err = friend.Send("hello", 0)
	must.OK(t, err)
	if text, err := pull.Recv(0); err != nil || text != "hello" {
		t.Errorf("%q, %v", text, err)
	}
}
