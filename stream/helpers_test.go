package stream

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestMain is the server of TestTooManyFiles where it is told so. Else it opens a socket before all
// tests: with the first the runtime opens descriptors that it keeps, which are no test's.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		serveWithFewFiles()
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_ = l.Close()
	os.Exit(m.Run())
}

// childVariable tells the test's program to be the server of TestTooManyFiles.
const childVariable = "ZMQAUTH_STREAM_TEST_CHILD"

// patience is how long a test waits for what must come: long enough that only a fault exceeds it.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func newListener(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// start serves on a port of the kernel's choice until the test ends, and returns host:port. Nothing
// of it may be left then.
func start(t testing.TB, s *Server) string {
	t.Helper()
	testpeer.NothingLeft(t)
	l := newListener(t)
	startOn(t, s, l)
	return l.Addr().String()
}

// startOn serves on a listener until the test ends.
func startOn(t testing.TB, s *Server, l net.Listener) {
	t.Helper()
	if s.Logger == nil {
		s.Logger = quiet()
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		must.OK(t, s.Close())
		must.OK(t, s.Shutdown(patient(t)))
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
}

// echo is a Handler that sends back what it gets. It hides from io.Copy what conn can do: to
// splice, it would keep pipes open until the next garbage collection.
func echo(_ context.Context, conn net.Conn, _ any) {
	_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
}

// dialTCP is a connection that is closed when the test ends.
func dialTCP(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// exchange sends text and wants it back.
func exchange(conn net.Conn, text string) error {
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(text)))
	return err
}

// sayHello dials, and sends and gets "hello".
func sayHello(t testing.TB, address string, cfg TLSClient) error {
	t.Helper()
	conn, err := DialTLS(patient(t), address, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	return exchange(conn, "hello")
}
