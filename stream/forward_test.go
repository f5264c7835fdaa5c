package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// forwarder starts a TLS server that forwards to a backend. results has what Forward returns.
func forwarder(
	t *testing.T, network, address string,
) (server string, client TLSClient, results chan error) {
	t.Helper()
	results = make(chan error, 16)
	_, server, client = tlsServer(t, func(s *Server) {
		s.Handler = func(ctx context.Context, conn net.Conn, _ any) {
			results <- Forward(ctx, conn, network, address)
		}
	})
	return server, client, results
}

// backend accepts connections and passes each to serve.
func backend(t *testing.T, l net.Listener, serve func(conn net.Conn)) {
	t.Helper()
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
}

// TestForwardHalfClose: with each kind of backend, each side ends its half and still gets the rest
// of the other's.
func TestForwardHalfClose(t *testing.T) {
	tcp := newListener(t)
	path := filepath.Join(t.TempDir(), "backend")
	local, err := net.Listen("unix", path)
	must.OK(t, err)
	// The backend echoes everything. When the client ends its half, it sends the length as text.
	serve := func(conn net.Conn) {
		data, err := io.ReadAll(conn)
		if err == nil {
			_, _ = io.WriteString(conn, strings.Repeat("x", len(data)))
		}
	}
	backend(t, tcp, serve)
	backend(t, local, serve)
	for _, c := range [][2]string{
		{"tcp", tcp.Addr().String()}, {"", "tcp://" + tcp.Addr().String()},
		{"tcp", "tcp://" + tcp.Addr().String()},
		{"unix", path}, {"", "ipc://" + path},
	} {
		server, client, results := forwarder(t, c[0], c[1])
		conn, err := DialTLS(patient(t), server, client)
		must.OK(t, err)
		defer conn.Close()
		const length = 300_000
		_, err = io.WriteString(conn, strings.Repeat("y", length))
		must.OK(t, err)
		must.OK(t, conn.(*tls.Conn).CloseWrite())
		reply, err := io.ReadAll(conn)
		if err != nil || len(reply) != length {
			t.Errorf("%v: %d bytes, %v", c, len(reply), err)
		}
		if err := <-results; err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// TestForwardBackendEndsFirst: only the backend's half ends. What the client sends afterwards still
// arrives.
func TestForwardBackendEndsFirst(t *testing.T) {
	l := newListener(t)
	got := make(chan string, 1)
	backend(t, l, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "that is all")
		_ = conn.(*net.TCPConn).CloseWrite()
		text, err := io.ReadAll(conn)
		if err != nil {
			text = []byte(err.Error())
		}
		got <- string(text)
	})
	server, client, results := forwarder(t, "tcp", l.Addr().String())
	conn, err := DialTLS(patient(t), server, client)
	must.OK(t, err)
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if err != nil || string(text) != "that is all" {
		t.Errorf("%q, %v", text, err)
	}
	_, err = io.WriteString(conn, "thank you")
	must.OK(t, err)
	must.OK(t, conn.Close())
	if text := <-got; text != "thank you" {
		t.Errorf("the backend gets %q", text)
	}
	must.OK(t, <-results)
}

// TestForwardErrors: errors name the side. The other side can tell them from an orderly end.
func TestForwardErrors(t *testing.T) {
	l := newListener(t)
	backendEnds := make(chan error, 1)
	backend(t, l, func(conn net.Conn) {
		_, err := io.ReadFull(conn, make([]byte, 5))
		if err == nil {
			_, err = io.Copy(io.Discard, conn)
		}
		backendEnds <- err
	})
	t.Run("the client's connection breaks", func(t *testing.T) {
		server, client, results := forwarder(t, "tcp", l.Addr().String())
		conn, err := DialTLS(patient(t), server, client)
		must.OK(t, err)
		_, err = io.WriteString(conn, "hello")
		must.OK(t, err)
		raw := conn.(*tls.Conn).NetConn().(*net.TCPConn)
		must.OK(t, raw.SetLinger(0))
		must.OK(t, raw.Close())
		if err := <-results; err == nil ||
			!strings.HasPrefix(err.Error(), "stream: read from the client: ") ||
			!errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if err := <-backendEnds; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the backend sees %v", err)
		}
	})
	t.Run("within a record", func(t *testing.T) {
		server, client, results := forwarder(t, "tcp", l.Addr().String())
		conn, err := DialTLS(patient(t), server, client)
		must.OK(t, err)
		_, err = io.WriteString(conn, "hello")
		must.OK(t, err)
		raw := conn.(*tls.Conn).NetConn()
		_, err = raw.Write([]byte{23, 3, 3, 0, 100, 1})
		must.OK(t, err)
		must.OK(t, raw.Close())
		if err := <-results; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		if err := <-backendEnds; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the backend sees %v", err)
		}
	})
	t.Run("the backend's connection breaks", func(t *testing.T) {
		broken := newListener(t)
		backend(t, broken, func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 5))
			_ = conn.(*net.TCPConn).SetLinger(0)
		})
		server, client, results := forwarder(t, "tcp", broken.Addr().String())
		conn, err := DialTLS(patient(t), server, client)
		must.OK(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "hello")
		must.OK(t, err)
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v", err)
		}
		if err := <-results; err == nil ||
			!strings.HasPrefix(err.Error(), "stream: read from the backend: ") {
			t.Error(err)
		}
	})
	nobody := newListener(t)
	must.OK(t, nobody.Close())
	tooLong := "/" + strings.Repeat("x", 107)
	for want, c := range map[string][2]string{
		"stream: the backend: dial tcp " + nobody.Addr().String(): {"tcp", nobody.Addr().String()},
		"stream: the backend: dial unix /nowhere":                 {"", "ipc:///nowhere"},
		`stream: endpoint "inproc://x": want`:                     {"", "inproc://x"},
		`stream: endpoint "nowhere": want`:                        {"", "nowhere"},
		`stream: network "udp": want`:                             {"udp", "127.0.0.1:1"},
		"stream: a Unix socket without a path":                    {"unix", ""},
		"stream: " + tooLong + ": the path":                       {"unix", tooLong},
	} {
		server, client, results := forwarder(t, c[0], c[1])
		conn, err := DialTLS(patient(t), server, client)
		must.OK(t, err)
		if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%v: the client sees %v", c, err)
		}
		if err := <-results; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		_ = conn.Close()
	}
}

// TestForwardEndsWithContext: Forward ends with its context, whether or not data is under way.
func TestForwardEndsWithContext(t *testing.T) {
	testpeer.NothingLeft(t)
	l := newListener(t)
	backend(t, l, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	ctx, cancel := context.WithCancelCause(context.Background())
	because := errors.New("because")
	here, there := net.Pipe()
	defer there.Close()
	ended := make(chan error, 1)
	go func() { ended <- Forward(ctx, here, "tcp", l.Addr().String()) }()
	_, err := there.Write([]byte("hello"))
	must.OK(t, err)
	cancel(because)
	if err := <-ended; !errors.Is(err, because) {
		t.Error(err)
	}
	if err := Forward(ctx, here, "tcp", l.Addr().String()); err == nil {
		t.Error("after its context has ended")
	}
}

// TestForwardWithoutHalves: a connection that cannot be half-closed is closed as a whole. Nothing
// that was sent before is lost.
func TestForwardWithoutHalves(t *testing.T) {
	testpeer.NothingLeft(t)
	l := newListener(t)
	got := make(chan string, 1)
	backend(t, l, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "x")
		_ = conn.(*net.TCPConn).CloseWrite()
		text, err := io.ReadAll(conn)
		if err != nil {
			text = []byte(err.Error())
		}
		got <- string(text)
	})
	here, there := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Forward(context.Background(), here, "tcp", l.Addr().String()) }()
	_, err := there.Write([]byte("hello"))
	must.OK(t, err)
	if text, err := io.ReadAll(there); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
	if text := <-got; text != "hello" {
		t.Errorf("the backend gets %q", text)
	}
	must.OK(t, <-ended)
}

// pour is a backend that sends more than anybody takes, and calls read for what comes. It ignores
// half-closes.
func pour(t *testing.T, l net.Listener, read func(conn net.Conn)) {
	t.Helper()
	backend(t, l, func(conn net.Conn) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := conn.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}()
		read(conn)
		<-done
	})
}

// gone makes a pipe from a Unix socket to a backend. The socket's client has been sent something.
func gone(
	t *testing.T, l net.Listener, drainTime time.Duration,
) (client net.Conn, p *pipes, ended chan error) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	must.OK(t, err)
	defer listener.Close()
	client, err = net.Dial("unix", listener.Addr().String())
	must.OK(t, err)
	t.Cleanup(func() { _ = client.Close() })
	server, err := listener.Accept()
	must.OK(t, err)
	p = newPipes(end{"the client", server}, end{"the backend", dialTCP(t, l.Addr().String())},
		drainTime)
	ended = make(chan error, 1)
	go func() { ended <- p.copy(context.Background()) }()
	_, err = io.ReadFull(client, make([]byte, 1<<20))
	must.OK(t, err)
	return client, p, ended
}

// TestForwardDeliversLastWords: what a client sent before it went away arrives, although the client
// takes nothing any more, and however late the backend reads it. A ZeroMQ socket on a Unix socket
// ends like that if it still has messages to receive.
func TestForwardDeliversLastWords(t *testing.T) {
	testpeer.NothingLeft(t)
	l := newListener(t)
	read, got, known := make(chan struct{}), make(chan int64, 1), make(chan struct{})
	pour(t, l, func(conn net.Conn) {
		<-read
		n, _ := io.Copy(io.Discard, conn)
		got <- n
		<-known
		_ = conn.Close()
	})
	client, p, ended := gone(t, l, patience)
	// What the kernel holds for a Unix socket, and more than it holds for TCP.
	n, err := client.Write(make([]byte, 150_000))
	must.OK(t, err)
	must.OK(t, client.Close())
	testpeer.Eventually(t, "the client's half has ended", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.halves[0].ended
	})
	close(read)
	if sum := <-got; sum != int64(n) {
		t.Errorf("%d of %d bytes arrive", sum, n)
	}
	testpeer.Eventually(t, "what the backend sends has shown that the client is gone", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.halves[1].broken
	})
	close(known)
	if err := <-ended; err == nil ||
		!strings.HasSuffix(err.Error(), "broken pipe") &&
			!strings.HasSuffix(err.Error(), "connection reset by peer") {
		t.Error(err)
	}
}

// TestForwardDoesNotPourForEver: a backend is cut off if it does not end its half after it was told
// that the client is gone.
func TestForwardDoesNotPourForEver(t *testing.T) {
	testpeer.NothingLeft(t)
	l := newListener(t)
	pour(t, l, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	client, _, ended := gone(t, l, 20*time.Millisecond)
	must.OK(t, client.Close())
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(patience):
		t.Error("it goes on")
	}
}

// TestForwardMemory: the use of memory does not grow with the amount of data.
func TestForwardMemory(t *testing.T) {
	const total = 128 << 20
	l := newListener(t)
	backend(t, l, func(conn net.Conn) {
		_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
	})
	server, client, results := forwarder(t, "tcp", l.Addr().String())
	conn, err := DialTLS(patient(t), server, client)
	must.OK(t, err)
	defer conn.Close()
	go func() {
		chunk := make([]byte, 1<<16)
		for range total / len(chunk) {
			if _, err := conn.Write(chunk); err != nil {
				return
			}
		}
		_ = conn.(*tls.Conn).CloseWrite()
	}()
	chunk := make([]byte, 1<<16)
	var sum, most uint64
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	before := memory.HeapInuse
	for polled := time.Now(); ; {
		n, err := conn.Read(chunk)
		sum += uint64(n)
		if err == io.EOF {
			break
		}
		must.OK(t, err)
		if time.Since(polled) > 20*time.Millisecond {
			runtime.ReadMemStats(&memory)
			most, polled = max(most, memory.HeapInuse), time.Now()
		}
	}
	must.OK(t, <-results)
	if sum != total {
		t.Errorf("%d of %d bytes", sum, total)
	}
	if most > before+total/8 {
		t.Errorf("the heap has grown from %d to %d bytes", before, most)
	}
}
