package sshtunnel

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

// patience is how long a test waits for something that must happen. It is so long that only a fault
// exceeds it.
const patience = 30 * time.Second

// testLogger returns a logger whose lines are shown if the test fails.
func testLogger(t testing.TB) *slog.Logger {
	log := &logbuffer.Buffer{}
	t.Cleanup(func() {
		if t.Failed() && log.String() != "" {
			t.Logf("logged:\n%s", log)
		}
	})
	return log.Logger()
}

const install = "openssh-server openssh-client gcc libc6-dev"

func write(t testing.TB, path, text string) {
	t.Helper()
	must.OK(t, os.WriteFile(path, []byte(text), 0o600))
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must.OK(t, err)
	return string(text)
}

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open opens a tunnel that ends with the test.
func open(t testing.TB, cfg Config) *Tunnel {
	t.Helper()
	tunnel, err := Open(patient(t), cfg)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, tunnel.Close()) })
	return tunnel
}

// openFails returns the error of Open, and checks that its text has all the parts.
func openFails(t testing.TB, cfg Config, parts ...string) error {
	t.Helper()
	tunnel, err := Open(patient(t), cfg)
	if err == nil {
		_ = tunnel.Close()
		t.Fatalf("it opens; want an error with %q", parts)
	}
	saysAll(t, err, parts...)
	return err
}

func saysAll(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	if !strings.HasPrefix(err.Error(), "sshtunnel: ") {
		t.Errorf("the error %q does not say whose it is", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
}

// echo is a TCP server that sends everything back.
func echo(t testing.TB) string {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		// io.Copy must not see the methods that let the system copy. The runtime keeps pipes for
		// that, which would look like a leak.
		_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
	})
}

// serve runs handle for each connection, until the test ends, and returns the address.
func serve(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	serveOn(t, listener, handle)
	return listener.Addr().String()
}

func serveOn(t testing.TB, listener net.Listener, handle func(net.Conn)) {
	t.Helper()
	var work sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			work.Go(func() {
				defer func() {
					mu.Lock()
					delete(conns, conn)
					mu.Unlock()
					_ = conn.Close()
				}()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		work.Wait()
	})
}

// says checks that an echo sends text back.
func says(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(conn, text)
	must.OK(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(conn, got)
	must.OK(t, err)
	if string(got) != text {
		t.Fatalf("%q comes back, want %q", got, text)
	}
}

// echoes checks that a stream through the tunnel works.
func echoes(t testing.TB, tunnel *Tunnel, address string) {
	t.Helper()
	conn, err := tunnel.Dial(patient(t), "tcp", address)
	must.OK(t, err)
	defer conn.Close()
	says(t, conn, "hello through the tunnel")
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
