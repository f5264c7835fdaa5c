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
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// newContext is a libzmq context that ends with the test, and not before its sockets.
func newContext(t testing.TB) *zmq4.Context {
	t.Helper()
	ctx, err := zmq4.NewContext()
	must(t, err)
	t.Cleanup(func() { must(t, ctx.Term()) })
	return ctx
}

// newSocket is one that does not outlive the test, nor wait for what it could not send.
func newSocket(t testing.TB, ctx *zmq4.Context, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	s, err := ctx.NewSocket(kind)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, errors.Join(s.SetLinger(0), s.SetRcvtimeo(patience), s.SetSndtimeo(patience)))
	return s
}

// answers runs a REP socket that answers with what it is asked, until the test ends, and returns its endpoint.
func answers(t testing.TB, ctx *zmq4.Context) string {
	t.Helper()
	rep := newSocket(t, ctx, zmq4.REP)
	must(t, rep.Bind("tcp://127.0.0.1:*"))
	endpoint, err := rep.GetLastEndpoint()
	must(t, err)
	ended := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(ended)
		must(t, rep.SetRcvtimeo(20*time.Millisecond))
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

// newREQ may ask again where an answer was lost with a connection.
func newREQ(t testing.TB, ctx *zmq4.Context) *zmq4.Socket {
	t.Helper()
	req := newSocket(t, ctx, zmq4.REQ)
	must(t, errors.Join(req.SetReqRelaxed(1), req.SetReqCorrelate(1), req.SetRcvtimeo(200*time.Millisecond)))
	return req
}

// ask asks until there is the answer.
func ask(t testing.TB, req *zmq4.Socket, question string) {
	t.Helper()
	testpeer.Eventually(t, "an answer to "+question, func() bool {
		_, err := req.Send(question, 0)
		must(t, err)
		answer, err := req.Recv(0)
		if err == nil && answer != question {
			t.Fatalf("%q is answered to %q", answer, question)
		}
		return err == nil
	})
}

// TestServerRestarts kills sshd under a live pair of ZeroMQ sockets, several times: once it is back, requests go on.
func TestServerRestarts(t *testing.T) {
	testpeer.NothingLeft(t)
	for name, localTCP := range map[string]bool{"ipc": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			server := newSSHD(t)
			ctx := newContext(t)
			endpoint := answers(t, ctx)
			cfg := server.config(t)
			cfg.LocalTCP = localTCP
			tunnel := open(t, cfg)
			req := newREQ(t, ctx)
			must(t, tunnel.Connect(req, endpoint))
			for i := range 3 {
				for j := range 20 {
					ask(t, req, fmt.Sprint("question ", i, j))
				}
				server.stop(t)
				testpeer.Eventually(t, "the loss is noticed", func() bool { return tunnel.Err() != nil })
				must(t, server.Start())
			}
			ask(t, req, "last question")
			must(t, tunnel.Err())
		})
	}
}

// TestPlainREQ: a REQ socket without any options goes on too, if it had its answer when the connection was lost.
func TestPlainREQ(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	ctx := newContext(t)
	endpoint := answers(t, ctx)
	tunnel := open(t, server.config(t))
	req := newSocket(t, ctx, zmq4.REQ)
	must(t, tunnel.Connect(req, endpoint))
	for i := range 3 {
		question := fmt.Sprint("question ", i)
		_, err := req.Send(question, 0)
		must(t, err)
		if got, err := req.Recv(0); err != nil || got != question {
			t.Fatalf("%q, %v", got, err)
		}
		server.stop(t)
		testpeer.Eventually(t, "the stream has ended", func() bool {
			tunnel.mu.Lock()
			defer tunnel.mu.Unlock()
			return tunnel.conn == nil
		})
		must(t, server.Start())
	}
}

// TestDialWaits: while the connection is down, Dial waits for it, or until its context ends.
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
	must(t, server.Start())
	for range cap(dialled) {
		must(t, <-dialled)
	}
	server.logged(t, "Accepted publickey", 2) // one for all five
}

// TestStreamsEndWithAnError: what a lost connection cuts off does not look finished.
func TestStreamsEndWithAnError(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	tunnel := open(t, server.config(t))
	conn, err := tunnel.Dial(patient(t), "tcp", address)
	must(t, err)
	defer conn.Close()
	says(t, conn, "hello")
	server.stop(t)
	_, err = io.ReadAll(conn)
	saysAll(t, err, "127.0.0.1")
	if _, err := conn.Write([]byte("more")); err == nil {
		t.Error("what is written seems to go somewhere")
	}

	must(t, server.Start())
	conn, err = tunnel.Dial(patient(t), "tcp", address)
	must(t, err)
	defer conn.Close()
	says(t, conn, "hello again")
	must(t, tunnel.Close())
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

// TestSilentlyGone: a server that is there but does not answer any more, as one behind a cut cable, is given up.
func TestSilentlyGone(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	cfg := server.config(t)
	cfg.KeepAlive = 250 * time.Millisecond
	address := echo(t)
	tunnel := open(t, cfg)
	conn, err := tunnel.Dial(patient(t), "tcp", address)
	must(t, err)
	defer conn.Close()
	says(t, conn, "hello")
	sessions := server.Sessions()
	if len(sessions) == 0 {
		t.Fatal("no process of sshd's has the connection")
	}
	for _, pid := range sessions {
		must(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.ReadAll(conn)
	saysAll(t, err, "does not answer any more")
	echoes(t, tunnel, address) // over another connection
}

// TestBusyIsNotSilent: a connection that carries a lot is not taken for a dead one, however long answers take.
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
	must(t, err)
	defer conn.Close()
	time.AfterFunc(20*cfg.KeepAlive, func() { close(stop) })
	if n, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("after %d bytes: %v", n, err)
	}
}

// TestOtherServerComesBack: one with another key is never accepted, however often it is tried; once the right one is back, or
// known_hosts has been changed, all is well again.
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
	must(t, os.Remove(server.HostKey))
	newKey(t, filepath.Join(t.TempDir(), "other"))
	write(t, server.HostKey, readText(t, newKey(t, filepath.Join(t.TempDir(), "other"))))
	must(t, server.Start())
	testpeer.Eventually(t, "it has been tried twice", func() bool { return strings.Count(log.String(), "host key has changed") >= 2 })
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
	must(t, server.Start())
	echoes(t, tunnel, address)
}

// TestUserIsRefusedLater: a user who is not let in any more is tried again with care, and is back once the server changes its mind.
func TestUserIsRefusedLater(t *testing.T) {
	server := newSSHD(t)
	address := echo(t)
	tunnel := open(t, server.config(t))
	keys := filepath.Join(server.Dir, "authorized_keys")
	key := readText(t, keys)
	write(t, keys, "")
	server.stop(t)
	must(t, server.Start())
	testpeer.Eventually(t, "the user is refused", func() bool {
		var refused *AuthError
		return errors.As(tunnel.Err(), &refused)
	})
	write(t, keys, key)
	echoes(t, tunnel, address)
}

// TestPauses: attempts come at growing intervals, none of them at once.
func TestPauses(t *testing.T) {
	for err, want := range map[error]time.Duration{
		nil: maxPause, io.EOF: maxPause, &AuthError{}: maxRefusedPause, error(&HostKeyError{Err: ErrHostKeyChanged}): maxRefusedPause,
	} {
		if got := longestPause(err); got != want {
			t.Errorf("%s at most after %v, want %s", got, err, want)
		}
	}
	for tries := range 40 {
		for range 20 {
			d := pause(tries, maxPause)
			want := maxPause
			if tries <= 8 {
				want = firstPause << tries // 25.6 s at most
			}
			if d < want/2 || d >= want {
				t.Fatalf("%s after %d attempts, want from %s to %s", d, tries, want/2, want)
			}
		}
	}
}
