package zmqauth

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzap"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// patience is how long a test waits for something that must happen. Only a fault takes longer.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newAuthenticator returns an Authenticator that has not been started, in a context of its own.
func newAuthenticator(t testing.TB, cfg Config) *Authenticator {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	a, err := New(testzmq.NewContext(t), &cfg)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, a.Close()) })
	return a
}

func startAuthenticator(t testing.TB, cfg Config) *Authenticator {
	t.Helper()
	a := newAuthenticator(t, cfg)
	must.OK(t, a.Start())
	return a
}

func newCertificate(t testing.TB) *Certificate {
	t.Helper()
	public, secret, err := GenerateKeyPair()
	must.OK(t, err)
	return &Certificate{Public: public, Secret: &secret}
}

// server is a PULL socket with a role. The messages that it receives show which clients got in.
type server struct {
	socket   *zmq4.Socket
	endpoint string
}

// newServer gives a PULL socket a role and binds it.
func newServer(
	t testing.TB, ctx *zmq4.Context, bind string, role func(*zmq4.Socket) error,
) *server {
	t.Helper()
	return newServerOf(t, ctx, zmq4.PULL, bind, role)
}

// newServerOf is newServer for a socket of another type.
func newServerOf(
	t testing.TB, ctx *zmq4.Context, kind zmq4.Type, bind string, role func(*zmq4.Socket) error,
) *server {
	t.Helper()
	if strings.Contains(bind, "[::") {
		testpeer.NeedIPv6(t)
	}
	socket := testzmq.NewSocket(t, ctx, kind)
	if strings.Contains(bind, "[::1]") {
		must.OK(t, socket.SetIpv6(true))
	}
	must.OK(t, role(socket))
	must.OK(t, socket.Bind(bind))
	endpoint, err := socket.GetLastEndpoint()
	must.OK(t, err)
	return &server{socket, endpoint}
}

// receive waits for a message and returns it with the named properties.
func (s *server) receive(t testing.TB, properties ...string) (string, map[string]string) {
	t.Helper()
	must.OK(t, s.socket.SetRcvtimeo(patience))
	text, metadata, err := s.socket.RecvWithMetadata(0, properties...)
	must.OK(t, err)
	return text, metadata
}

// connect connects a client of that role to endpoint and returns what Connect returns. With a nil
// error the socket is connected.
func connect(t testing.TB, endpoint string, role func(*zmq4.Socket) error) (*zmq4.Socket, error) {
	t.Helper()
	return connectFrom(t, testzmq.NewContext(t), endpoint, role)
}

// connectFrom is connect with a client in the context zctx.
func connectFrom(
	t testing.TB, zctx *zmq4.Context, endpoint string, role func(*zmq4.Socket) error,
) (*zmq4.Socket, error) {
	t.Helper()
	socket := testzmq.NewSocket(t, zctx, zmq4.PUSH)
	if strings.Contains(endpoint, "[") {
		must.OK(t, socket.SetIpv6(true))
	}
	must.OK(t, role(socket))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return socket, Connect(ctx, socket, endpoint)
}

// status is the status that the outcome of a handshake stands for: 200, that of a refusal, or 0 for
// anything else.
func status(err error) int {
	var refused *HandshakeError
	switch {
	case err == nil:
		return zap.StatusOK
	case errors.As(err, &refused):
		return refused.Status
	}
	return 0
}

func nullClient(*zmq4.Socket) error { return nil }

func plainClient(name, password string) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return PlainClient(s, name, password) }
}

func curveClient(server PublicKey, certificate *Certificate) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return CurveClient(s, server, certificate) }
}

func nullServer(domain string) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return NullServer(s, domain) }
}

func plainServer(domain string) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return PlainServer(s, domain) }
}

func curveServer(domain string, certificate *Certificate) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return CurveServer(s, domain, certificate) }
}

// zapRequest returns the body of a request, as libzmq makes it.
func zapRequest(domain, address, mechanism string, credentials ...string) [][]byte {
	return testzap.Request(domain, address, mechanism, credentials...)
}

func frames(texts ...string) [][]byte { return testzap.Frames(texts...) }

// ask has a judge a request, and returns the status and the user id of the reply.
func ask(t testing.TB, a *Authenticator, request [][]byte) (status, userID string) {
	t.Helper()
	reply := a.HandleZAPMessage(context.Background(), request)
	if len(reply) != zap.ReplyFrames {
		t.Fatalf("reply of %d frames: %q", len(reply), reply)
	}
	if string(reply[2]) != "200" && len(reply[4])+len(reply[5]) != 0 {
		t.Errorf("a refusal with user id %q and metadata %q", reply[4], reply[5])
	}
	return string(reply[2]), string(reply[4])
}

// waitForReports waits until the log is complete.
func waitForReports(t testing.TB, a *Authenticator) {
	t.Helper()
	testpeer.Eventually(t, "everything is reported", func() bool {
		return a.reports.decisions.IsIdle() && a.reports.lines.IsIdle()
	})
}

// zapClient asks a live endpoint as libzmq does. Unlike libzmq it may have many requests under way,
// and may send anything.
type zapClient struct {
	t      testing.TB
	socket *zmq4.Socket
}

func newZAPClient(t testing.TB, ctx *zmq4.Context) *zapClient {
	t.Helper()
	socket := testzmq.NewSocket(t, ctx, zmq4.DEALER)
	must.OK(t, socket.SetRcvtimeo(patience))
	must.OK(t, socket.Connect(ZAPEndpoint))
	return &zapClient{t, socket}
}

// send sends the body of a request behind the empty delimiter.
func (c *zapClient) send(body [][]byte) {
	c.t.Helper()
	c.sendRaw(append([][]byte{nil}, body...))
}

func (c *zapClient) sendRaw(frames [][]byte) {
	c.t.Helper()
	_, err := c.socket.SendMessage(frames)
	must.OK(c.t, err)
}

// receive waits for a reply, checks its form and returns its body.
func (c *zapClient) receive() []string {
	c.t.Helper()
	reply, err := c.socket.RecvMessage(0)
	must.OK(c.t, err)
	if len(reply) != zap.ReplyFrames+1 || reply[0] != "" || reply[1] != zap.Version {
		c.t.Fatalf("not a ZAP reply: %q", reply)
	}
	return reply[1:]
}

func (c *zapClient) ask(body [][]byte) []string {
	c.t.Helper()
	c.send(body)
	return c.receive()
}

func osUID() int { return os.Getuid() }

func osPID() int { return os.Getpid() }

func plainRequest(domain, name, password string) [][]byte {
	return zapRequest(domain, "127.0.0.1", "PLAIN", name, password)
}

func nullRequest() [][]byte { return zapRequest("d", "127.0.0.1", "NULL") }
