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

// TestMain is the server of TestTooManyFiles if childVariable is set. Otherwise it opens a socket
// before all tests: with the first socket the runtime opens descriptors that it keeps, which belong
// to no test.
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

// childVariable tells the test program to be the server of TestTooManyFiles.
const childVariable = "ZMQAUTH_STREAM_TEST_CHILD"

// patience is how long a test waits for something that must happen. It is so long that only a fault
// exceeds it.
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

// start serves on a port that the kernel chooses, until the test ends, and returns host:port. It
// checks that the server leaves nothing behind.
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
	// Whoever counts goroutines next must count all of this server's.
	testpeer.Eventually(t, "it serves", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.listeners) > 0
	})
	t.Cleanup(func() {
		must.OK(t, s.Close())
		must.OK(t, s.Shutdown(patient(t)))
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
}

// echo is a Handler that sends back what it receives. It hides the methods of conn from io.Copy:
// with splice, io.Copy would keep pipes open until the next garbage collection.
func echo(_ context.Context, conn net.Conn, _ any) {
	_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
}

// dialTCP connects. The connection is closed when the test ends.
func dialTCP(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// exchange sends text and expects it back.
func exchange(conn net.Conn, text string) error {
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(text)))
	return err
}

// sayHello dials, sends "hello" and expects it back.
func sayHello(t testing.TB, address string, cfg TLSClient) error {
	t.Helper()
	conn, err := DialTLS(patient(t), address, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	return exchange(conn, "hello")
}
