package stream

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/privatedir"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// forwardTLS is a local endpoint until the test ends.
func forwardTLS(t *testing.T, local, remote string, client TLSClient) *Forwarding {
	t.Helper()
	if client.Logger == nil {
		client.Logger = quiet()
	}
	f, err := ForwardTLS(context.Background(), local, remote, client)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

// dialEndpoint connects as a ZeroMQ socket would.
func dialEndpoint(t *testing.T, e string) net.Conn {
	t.Helper()
	network, address, err := endpoint("", e)
	must(t, err)
	conn, err := net.Dial(network, address)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// TestForwardTLSEndpoints: the kinds of local endpoints, who may use them, and that nothing is left of them.
func TestForwardTLSEndpoints(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	path := filepath.Join(t.TempDir(), "socket")
	locals := []string{"", "ipc://" + path, "tcp://127.0.0.1:0", "tcp://localhost:0"}
	if testpeer.HasIPv6(t) {
		locals = append(locals, "tcp://[::1]:0")
	}
	for _, local := range locals {
		f, err := ForwardTLS(context.Background(), local, remote, client)
		must(t, err)
		must(t, exchange(dialEndpoint(t, f.Endpoint()), "hello"))
		if file, ok := strings.CutPrefix(f.Endpoint(), "ipc://"); ok {
			info, err := os.Stat(file)
			must(t, err)
			if info.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("%s has the mode %v", f.Endpoint(), info.Mode())
			}
			if local == "" {
				above, err := os.Stat(filepath.Dir(file))
				must(t, err)
				if above.Mode() != fs.ModeDir|0o700 {
					t.Errorf("its directory has the mode %v", above.Mode())
				}
				defer func() {
					if _, err := os.Stat(filepath.Dir(file)); !os.IsNotExist(err) {
						t.Errorf("the directory is left: %v", err)
					}
				}()
			}
		} else if !strings.HasPrefix(f.Endpoint(), "tcp://127.0.0.1:") && !strings.HasPrefix(f.Endpoint(), "tcp://[::1]:") {
			t.Errorf("%s: %s", local, f.Endpoint())
		}
		must(t, f.Close())
		must(t, f.Close())
		must(t, f.Wait())
		network, address, err := endpoint("", f.Endpoint())
		must(t, err)
		if _, err := net.Dial(network, address); err == nil {
			t.Errorf("%s: the endpoint is left", local)
		}
	}
}

// TestForwardTLSErrors: what cannot be meant is an error at once, and leaves nothing.
func TestForwardTLSErrors(t *testing.T) {
	testpeer.NothingLeft(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	_, remote, client := tlsServer(t, nil)
	taken := forwardTLS(t, "ipc://"+filepath.Join(dir, "taken"), remote, client)
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("precious"), 0o600))
	bad := client
	bad.CAFile = "/nowhere.crt"
	long := "ipc:///" + strings.Repeat("x", privatedir.MaxPath)
	tooLong := fmt.Sprintf("may have %d bytes, this one has %d", privatedir.MaxPath, privatedir.MaxPath+1)
	for name, c := range map[string]struct {
		local, remote string
		client        TLSClient
		want          string
	}{
		"every address":     {"tcp://0.0.0.0:0", remote, client, "only a loopback address"},
		"every address, 6":  {"tcp://[::]:0", remote, client, "only a loopback address"},
		"any address":       {"tcp://:0", remote, client, "only a loopback address"},
		"another machine":   {"tcp://192.0.2.1:0", remote, client, "only a loopback address"},
		"abstract":          {"ipc://@zmqauth-test", remote, client, "abstract socket"},
		"no endpoint":       {"nowhere", remote, client, "nowhere"},
		"another transport": {"inproc://x", remote, client, "inproc://x"},
		"too long":          {long, remote, client, tooLong},
		"taken":             {taken.Endpoint(), remote, client, "address already in use"},
		"a file":            {"ipc://" + file, remote, client, "address already in use"},
		"no port":           {"", "localhost", client, "localhost"},
		"no CA":             {"", remote, bad, "/nowhere.crt: no such file"},
	} {
		f, err := ForwardTLS(context.Background(), c.local, c.remote, c.client)
		if f != nil || err == nil || !strings.HasPrefix(err.Error(), "stream: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	must(t, exchange(dialEndpoint(t, taken.Endpoint()), "still here"))
}

// TestForwardTLSElsewhere: where $TMPDIR will not do, the endpoint is in another directory, and
// nothing is left in either.
func TestForwardTLSElsewhere(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	long := filepath.Join(t.TempDir(), strings.Repeat("x", privatedir.MaxPath))
	shared := filepath.Join(t.TempDir(), "shared")
	for name, c := range map[string]struct {
		dir  string
		mode fs.FileMode
	}{"too long": {long, 0o700}, "others can rename": {shared, 0o777}} {
		t.Run(name, func(t *testing.T) {
			must(t, os.Mkdir(c.dir, 0o700))
			must(t, os.Chmod(c.dir, c.mode)) // without the sticky bit
			t.Setenv("TMPDIR", c.dir)
			t.Setenv("XDG_RUNTIME_DIR", "")
			f := forwardTLS(t, "", remote, client)
			path := strings.TrimPrefix(f.Endpoint(), "ipc://")
			if base := filepath.Dir(filepath.Dir(path)); base != "/tmp" {
				t.Errorf("its directory is in %s", base)
			}
			must(t, exchange(dialEndpoint(t, f.Endpoint()), "hello"))
			must(t, f.Close())
			if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
				t.Errorf("the directory is left: %v", err)
			}
			if left, err := os.ReadDir(c.dir); err != nil || len(left) != 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// TestForwardTLSStaleSocket: a path that a program has left behind is used again.
func TestForwardTLSStaleSocket(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	old := syscall.Umask(0) // which is not to make the new socket anybody's
	f := forwardTLS(t, "ipc://"+path, remote, client)
	syscall.Umask(old)
	must(t, exchange(dialEndpoint(t, f.Endpoint()), "hello"))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestForwardTLSEndsWithContext, which closes connections, dials that are under way, and the directory.
func TestForwardTLSEndsWithContext(t *testing.T) {
	testpeer.NothingLeft(t)
	_, remote, client := tlsServer(t, nil)
	silent := newListener(t)
	for _, remote := range []string{remote, silent.Addr().String()} {
		ctx, cancel := context.WithCancel(context.Background())
		f, err := ForwardTLS(ctx, "", remote, client)
		must(t, err)
		conn := dialEndpoint(t, f.Endpoint())
		if remote == silent.Addr().String() {
			accepted, err := silent.Accept()
			must(t, err)
			defer accepted.Close()
		} else {
			must(t, exchange(conn, "hello"))
		}
		cancel()
		must(t, f.Wait())
		if !closed(conn) {
			t.Error("the connection is still open")
		}
		if _, err := os.Stat(filepath.Dir(strings.TrimPrefix(f.Endpoint(), "ipc://"))); !os.IsNotExist(err) {
			t.Errorf("the directory is left: %v", err)
		}
	}
}

// TestForwardTLSFailures: an unreachable server and one that refuses the certificate are logged once for each reason, and are
// tried again, but not all the time; once the server is there, all goes well.
func TestForwardTLSFailures(t *testing.T) {
	testpeer.NothingLeft(t)
	ca, foreign := newAuthority(t, "CA"), newAuthority(t, "another CA")
	server := ca.issue("server")
	l := newListener(t)
	remote := l.Addr().String()
	must(t, l.Close())
	log := &logbuffer.Buffer{}
	var dir = t.TempDir()
	id := ca.issue("ann")
	certificate := identity{filepath.Join(dir, "crt"), filepath.Join(dir, "key")}
	put := func(id identity) {
		for from, to := range map[string]string{id.cert: certificate.cert, id.key: certificate.key} {
			content, err := os.ReadFile(from)
			must(t, err)
			replace(t, to, content)
		}
	}
	put(foreign.issue("mallory"))
	client := config(certificate, ca)
	client.Logger = log.Logger()
	f := forwardTLS(t, "", remote, client)
	try := func() error { return exchange(dialEndpoint(t, f.Endpoint()), "hello") }
	warnings := func() int { return strings.Count(log.String(), "level=WARN") }
	begun := time.Now()
	for range 4 {
		if try() == nil {
			t.Fatal("it goes through without a server")
		}
	}
	if took := time.Since(begun); took < 7*minHold { // 1+2+4
		t.Errorf("4 tries within %v", took)
	}
	if n := warnings(); n != 1 || !strings.Contains(log.String(), "connection refused") {
		t.Errorf("%d warnings:\n%s", n, log)
	}
	l, err := net.Listen("tcp", remote)
	must(t, err)
	var refused atomic.Int32
	startOn(t, &Server{
		Authenticator: &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key, CAFile: ca.file},
		Handler:       echo, Logger: quiet(),
	}, countingListener{l, &refused})
	for range 3 {
		if try() == nil {
			t.Fatal("it goes through with a certificate that the server does not know")
		}
	}
	if n := warnings(); n != 2 || !strings.Contains(log.String(), "remote error: tls: ") || refused.Load() != 3 {
		t.Errorf("%d warnings, %d refusals:\n%s", n, refused.Load(), log)
	}
	put(id)
	must(t, try())
	must(t, try())
}

// countingListener counts what it accepts.
type countingListener struct {
	net.Listener
	n *atomic.Int32
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return conn, err
}

// zmqSocket is closed before its context ends with the test.
func zmqSocket(t *testing.T, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	ctx, err := zmq4.NewContext()
	must(t, err)
	t.Cleanup(func() { must(t, ctx.Term()) })
	s, err := ctx.NewSocket(kind)
	must(t, err)
	must(t, s.SetLinger(0))
	must(t, s.SetRcvtimeo(patience))
	must(t, s.SetSndtimeo(patience))
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// zmqBackend is a ZeroMQ socket at a private endpoint, and a TLS server that forwards to it.
func zmqBackend(t *testing.T, kind zmq4.Type) (s *zmq4.Socket, remote string, client TLSClient) {
	t.Helper()
	s = zmqSocket(t, kind)
	back := "ipc://" + filepath.Join(t.TempDir(), "backend")
	must(t, s.Bind(back))
	_, remote, client = tlsServer(t, func(server *Server) {
		server.Handler = func(ctx context.Context, conn net.Conn, _ any) { _ = Forward(ctx, conn, "", back) }
	})
	return s, remote, client
}

// TestZeroMQRequests: a REQ and a REP socket talk over mutual TLS, over both kinds of local endpoint, also after the TLS
// connection was cut.
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
			must(t, req.SetReqRelaxed(1)) // so that a request may be sent again
			must(t, req.SetReqCorrelate(1))
			must(t, req.SetRcvtimeo(500*time.Millisecond))
			must(t, req.Connect(f.Endpoint()))
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
	must(t, rep.SetRcvtimeo(500*time.Millisecond))
	for begun := time.Now(); time.Since(begun) < patience; {
		_, err := req.Send(question, 0)
		must(t, err)
		// All that wait, as the first may be one of before, and its answer is for nobody any more.
		for text, err := rep.Recv(0); err == nil; text, err = rep.Recv(zmq4.DONTWAIT) {
			_, err := rep.Send("answer to "+text, 0)
			must(t, err)
		}
		if answer, err := req.Recv(0); err == nil {
			return answer
		}
	}
	t.Fatal("no answer")
	return ""
}

// connSet is connections that can be cut.
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

// TestZeroMQMessages: a hundred thousand messages arrive, all and in order, from a socket that is closed once it has sent
// them.
func TestZeroMQMessages(t *testing.T) {
	const count = 100_000
	pull, remote, client := zmqBackend(t, zmq4.PULL)
	f := forwardTLS(t, "", remote, client)
	push := zmqSocket(t, zmq4.PUSH)
	must(t, push.SetLinger(patience))
	must(t, push.Connect(f.Endpoint()))
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
		must(t, err)
		if text != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, text)
		}
	}
	must(t, <-sent)
}

// TestZeroMQStranger: without a certificate no message gets through.
func TestZeroMQStranger(t *testing.T) {
	pull, remote, client := zmqBackend(t, zmq4.PULL)
	log := &logbuffer.Buffer{}
	stranger := TLSClient{CAFile: client.CAFile, Logger: log.Logger()}
	push := zmqSocket(t, zmq4.PUSH)
	must(t, push.Connect(forwardTLS(t, "", remote, stranger).Endpoint()))
	_, err := push.Send("let me in", 0)
	must(t, err)
	testpeer.Eventually(t, "the refusal is logged", func() bool { return strings.Contains(log.String(), "remote error: tls: ") })
	friend := zmqSocket(t, zmq4.PUSH)
	must(t, friend.Connect(forwardTLS(t, "", remote, client).Endpoint()))
	_, err = friend.Send("hello", 0)
	must(t, err)
	if text, err := pull.Recv(0); err != nil || text != "hello" {
		t.Errorf("%q, %v", text, err)
	}
}

var _ io.Closer = (*Forwarding)(nil)
