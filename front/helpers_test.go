//go:build linux

package front

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// server is a socket behind a front, in domain "d".
type server struct {
	a         *zmqauth.Authenticator
	zctx      *zmq4.Context
	socket    *zmq4.Socket
	mechanism string
	front     *Front
	cert      *zmqauth.Certificate
	creds     zmqauth.Credentials
	decisions chan zmqauth.Decision
}

// newServer serves a socket of a kind and a mechanism at an endpoint. The program relies on
// properties.
func newServer(t testing.TB, kind zmq4.Type, mechanism, endpoint string, cfg *Config,
	properties ...string) *server {
	t.Helper()
	s := &server{zctx: testzmq.NewContext(t), mechanism: mechanism,
		decisions: make(chan zmqauth.Decision, 10_000)}
	var err error
	tell := func(d zmqauth.Decision) {
		select {
		case s.decisions <- d:
		default:
		}
	}
	s.a, err = zmqauth.New(s.zctx, &zmqauth.Config{OnDecision: tell, Properties: properties})
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, s.a.Close()) })
	must.OK(t, s.a.Start())
	must.OK(t, s.a.ConfigureCredentials("d", &s.creds))
	s.cert, err = zmqauth.NewCertificate()
	must.OK(t, err)
	s.socket = testzmq.NewSocket(t, s.zctx, kind)
	switch mechanism {
	case "NULL":
		must.OK(t, zmqauth.NullServer(s.socket, "d"))
	case "PLAIN":
		must.OK(t, zmqauth.PlainServer(s.socket, "d"))
		must.OK(t, s.creds.SetUser("ann", "secret", zmqauth.Entry{}))
	case "GSSAPI":
		must.OK(t, zmqauth.GSSAPIServer(s.socket, "d", ""))
	default:
		must.OK(t, zmqauth.CurveServer(s.socket, "d", s.cert))
	}
	s.front, err = Listen(s.a, s.socket, endpoint, cfg)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, s.front.Close()) })
	return s
}

// client is a socket with a credential that is let in, for any mechanism.
func (s *server) client(t testing.TB, zctx *zmq4.Context, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	c := testzmq.NewSocket(t, zctx, kind)
	s.arm(t, c)
	return c
}

// arm gives a client a credential that is let in.
func (s *server) arm(t testing.TB, c *zmq4.Socket) {
	t.Helper()
	switch s.mechanism {
	case "PLAIN":
		must.OK(t, zmqauth.PlainClient(c, "ann", "secret"))
	case "CURVE":
		cert, err := zmqauth.NewCertificate()
		must.OK(t, err)
		must.OK(t, s.creds.SetKey(cert.Public, zmqauth.Entry{}))
		must.OK(t, zmqauth.CurveClient(c, s.cert.Public, cert))
	}
}

// connected is a client that was let in.
func (s *server) connected(t testing.TB, zctx *zmq4.Context, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	c := s.client(t, zctx, kind)
	must.OK(t, zmqauth.Connect(t.Context(), c, s.front.Endpoint()))
	return c
}

// sessions waits until there are so many.
func (s *server) sessions(t testing.TB, count int) []zmqauth.Session {
	t.Helper()
	var all []zmqauth.Session
	testpeer.Eventually(t, fmt.Sprintf("there are %d sessions", count), func() bool {
		all = s.a.Sessions()
		return len(all) == count
	})
	return all
}

// address is HOST:PORT of a tcp endpoint.
func address(endpoint string) string { return strings.TrimPrefix(endpoint, "tcp://") }

// dial connects a stranger, from an address if there is one.
func dial(t testing.TB, endpoint, from string) *net.TCPConn {
	t.Helper()
	conn, err := tryDial(endpoint, from)
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func tryDial(endpoint, from string) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: patience}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := dialer.Dial("tcp", address(endpoint))
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), conn.SetDeadline(time.Now().Add(patience))
}

// refused waits until so many connections were refused for a reason.
func (s *server) refused(t testing.TB, reason string, count uint64) {
	t.Helper()
	testpeer.Eventually(t, fmt.Sprintf("%d refusals: %s", count, reason), func() bool {
		return s.front.Stats().Reasons[reason] >= count
	})
}

// greetingOf is the greeting of a ZMTP 3.0 client (RFC 23) with the mechanism NULL.
func greetingOf() []byte {
	greeting := make([]byte, 64)
	copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL")
	return greeting
}

// ready is the command with which a NULL client goes on, of a DEALER.
const ready = "\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"

// enter speaks ZMTP with the mechanism NULL, and returns true if it was let in: the server's READY
// has come.
func enter(t testing.TB, conn net.Conn) bool { t.Helper(); return enterAs(t, conn, ready) }

// enterAs enters with a READY of one's own.
func enterAs(t testing.TB, conn net.Conn, ready string) bool {
	t.Helper()
	if _, err := conn.Write(append(greetingOf(), ready...)); err != nil {
		return false
	}
	answer := make([]byte, 64+8)
	_, err := io.ReadFull(conn, answer)
	return err == nil && string(answer[66:]) == "\x05READY"
}

// enters tells whether a client from an address is let in. The connection stays open.
func (s *server) enters(t testing.TB, from string) bool {
	t.Helper()
	conn, err := tryDial(s.front.Endpoint(), from)
	if errors.Is(err, syscall.ECONNRESET) {
		return false
	}
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return enter(t, conn)
}

// isClosed waits until the server has closed a connection. It returns what came before that.
func isClosed(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	sent, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
	return sent
}

// dialAny connects to an endpoint of either transport.
func dialAny(endpoint string) (net.Conn, error) {
	path, isIPC := strings.CutPrefix(endpoint, "ipc://")
	if !isIPC {
		return tryDial(endpoint, "")
	}
	conn, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}
