package doctor_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/doctor"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// patience is far more than a step takes that has an answer.
const patience = 40 * time.Second

// impatience is for what never answers.
const impatience = 2 * time.Second

func examine(t *testing.T, limit time.Duration, text string, c doctor.Client) *doctor.Report {
	t.Helper()
	at, err := endpoint.ParseConnect(text)
	must.OK(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if c.Mechanism == "" {
		c.Mechanism = "NULL"
	}
	return doctor.Examine(ctx, at, c)
}

// wantBad wants the last step to be bad, and to have seen a text. All before are in order.
func wantBad(t *testing.T, r *doctor.Report, name, seen, try string) {
	t.Helper()
	last := r.Steps[len(r.Steps)-1]
	for _, step := range r.Steps[:len(r.Steps)-1] {
		if step.Result != doctor.Good {
			t.Errorf("%+v", step)
		}
	}
	if r.Well() || last.Name != name || last.Result != doctor.Bad ||
		!strings.Contains(last.Seen, seen) || !strings.Contains(last.Try, try) {
		t.Errorf("%+v\nwant %s: %q, and to try %q", last, name, seen, try)
	}
}

// peer is a port at which each connection is served by a function, and closed.
func peer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return "tcp://" + listener.Addr().String()
}

func TestNobodyListens(t *testing.T) {
	text := fmt.Sprint("tcp://127.0.0.1:", testpeer.FreePort(t))
	wantBad(t, examine(t, patience, text, doctor.Client{}), doctor.StepConnect,
		"connection refused", "start the server")
}

func TestNameIsUnknown(t *testing.T) {
	r := examine(t, impatience, "tcp://nobody.invalid:5555", doctor.Client{})
	wantBad(t, r, doctor.StepName, `"nobody.invalid"`, "")
	if len(r.Steps) != 1 {
		t.Errorf("%+v", r.Steps)
	}
}

// A port that is no ZeroMQ is called by its name.
func TestOtherProtocols(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close) // after the parallel tests
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	say := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			_, _ = conn.Write([]byte(text))
			_, _ = conn.Read(make([]byte, 1))
		}
	}
	for _, test := range []struct{ name, endpoint, seen, try string }{
		{"HTTP", "tcp://" + plain.Listener.Addr().String(), "HTTP: \"HTTP/1.", "another port"},
		{"HTTP at once", peer(t, say("HTTP/1.1 400 Bad Request\r\n\r\n")),
			`HTTP: "HTTP/1.1 400 Bad Request"`, "another port"},
		{"TLS", "tcp://" + secure.Listener.Addr().String(), "TLS", "tls-connect"},
		{"a TLS alert", peer(t, say("\x15\x03\x01\x00\x02\x02\x46")), "TLS", "tls-connect"},
		{"SSH", peer(t, say("SSH-2.0-OpenSSH_9.2\r\n")), `SSH: "SSH-2.0-OpenSSH_9.2"`, "tunnel"},
		{"something else", peer(t, say("220 \x1b[31mhello\u202e\r\n")),
			`it says "220 \x1b[31mhello\u202e"`, "another port"},
		{"ZMTP 2", peer(t, say("\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x05\x00\x00")),
			"old version", "libzmq 4"},
		{"half a greeting", peer(t, func(conn net.Conn) {
			_, _ = conn.Write([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"))
			_, _ = conn.Read(make([]byte, 12))
		}), "ends after 10 of 64 bytes", "log"},
		{"another mechanism", peer(t, func(conn net.Conn) {
			greeting := make([]byte, 64)
			copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01X\x1b[2J")
			_, _ = conn.Write(greeting)
			_, _ = conn.Read(make([]byte, 12))
		}), `the mechanism "X\x1b[2J"`, "mechanism"},
		{"closed at once", peer(t, func(net.Conn) {}), "closes them at once", "PROXY protocol"},
		{"silent", peer(t, func(conn net.Conn) {
			for {
				if _, err := conn.Read(make([]byte, 512)); err != nil {
					return
				}
			}
		}), "says nothing", "hangs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			step := doctor.StepGreeting
			if test.name == "another mechanism" {
				step = doctor.StepMechanism
			}
			limit := patience
			if test.name == "silent" {
				limit = impatience
			}
			r := examine(t, limit, test.endpoint, doctor.Client{})
			wantBad(t, r, step, test.seen, test.try)
		})
	}
}

// server is a ROUTER of libzmq with a role, and an authenticator that knows a domain.
func server(t *testing.T, role func(*zmq4.Socket) error, configure func(*zmqauth.Authenticator),
	bind string) string {
	t.Helper()
	zctx := testzmq.NewContext(t)
	auth, err := zmqauth.New(zctx, nil)
	must.OK(t, err)
	t.Cleanup(func() { _ = auth.Close() })
	configure(auth)
	must.OK(t, auth.Start())
	socket := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
	must.OK(t, role(socket))
	must.OK(t, socket.Bind(bind))
	text, err := socket.GetLastEndpoint()
	must.OK(t, err)
	return text
}

// enter is a client that makes the whole handshake.
func enter(t *testing.T, text string, role func(*zmq4.Socket) error) func(context.Context) error {
	return func(ctx context.Context) error {
		socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.DEALER)
		must.OK(t, role(socket))
		return zmqauth.Connect(ctx, socket, text)
	}
}

func null(*zmq4.Socket) error { return nil }

func TestMechanisms(t *testing.T) {
	cert, err := zmqauth.NewCertificate()
	must.OK(t, err)
	roles := map[string]func(*zmq4.Socket) error{
		"NULL":  func(s *zmq4.Socket) error { return zmqauth.NullServer(s, "d") },
		"PLAIN": func(s *zmq4.Socket) error { return zmqauth.PlainServer(s, "d") },
		"CURVE": func(s *zmq4.Socket) error { return zmqauth.CurveServer(s, "d", cert) },
	}
	if zmq4.HasGssapi() {
		roles["GSSAPI"] = func(s *zmq4.Socket) error { return zmqauth.GSSAPIServer(s, "d", "") }
	}
	for theirs, role := range roles {
		text := server(t, role, func(*zmqauth.Authenticator) {}, "tcp://127.0.0.1:*")
		other := "NULL"
		if theirs == other {
			other = "PLAIN"
		}
		r := examine(t, patience, text, doctor.Client{Mechanism: other})
		wantBad(t, r, doctor.StepMechanism, "the server has "+theirs+", this client "+other, "")
		r = examine(t, patience, text, doctor.Client{Mechanism: theirs, ServerKey: cert.Public})
		if !r.Well() {
			t.Errorf("%s: %+v", theirs, r.Steps)
		}
	}
}

func TestAccess(t *testing.T) {
	text := server(t, func(s *zmq4.Socket) error { return zmqauth.NullServer(s, "d") },
		func(a *zmqauth.Authenticator) { must.OK(t, a.Deny("127.0.0.1")) }, "tcp://127.0.0.1:*")
	r := examine(t, patience, text, doctor.Client{Enter: enter(t, text, null)})
	wantBad(t, r, doctor.StepAccess, "access denied (status 400)", "log")
	text = server(t, func(s *zmq4.Socket) error { return zmqauth.NullServer(s, "d") },
		func(*zmqauth.Authenticator) {}, "ipc://"+filepath.Join(t.TempDir(), "s"))
	r = examine(t, patience, text, doctor.Client{Enter: enter(t, text, null)})
	if last := r.Steps[len(r.Steps)-1]; !r.Well() || last.Seen != "accepted, with NULL" {
		t.Errorf("%+v", r.Steps)
	}
}

// What decides may fail, or ask for another try.
func TestNoDecision(t *testing.T) {
	for status, want := range map[string]struct {
		limit     time.Duration
		seen, try string
	}{
		"500": {patience, "status 500", "its log has the error"},
		"300": {impatience, "has not answered the handshake in time", "another try (300)"},
	} {
		zctx := testzmq.NewContext(t)
		decides(t, zctx, status)
		socket := testzmq.NewSocket(t, zctx, zmq4.ROUTER)
		must.OK(t, zmqauth.NullServer(socket, "d"))
		must.OK(t, socket.Bind("tcp://127.0.0.1:*"))
		text, err := socket.GetLastEndpoint()
		must.OK(t, err)
		r := examine(t, want.limit, text, doctor.Client{Enter: enter(t, text, null)})
		wantBad(t, r, doctor.StepAccess, want.seen, want.try)
	}
}

// decides answers every question of a context's servers with a status, until the context ends.
func decides(t *testing.T, zctx *zmq4.Context, status string) {
	t.Helper()
	handler, err := zctx.NewSocket(zmq4.REP)
	must.OK(t, err)
	must.OK(t, handler.Bind("inproc://zeromq.zap.01"))
	go func() {
		defer handler.Close()
		for {
			request, err := handler.RecvMessage(0)
			if err != nil {
				return
			}
			if _, err := handler.SendMessage("1.0", request[1], status, "", "", ""); err != nil {
				return
			}
		}
	}()
}

func TestServerKey(t *testing.T) {
	cert, err := zmqauth.NewCertificate()
	must.OK(t, err)
	own, err := zmqauth.NewCertificate()
	must.OK(t, err)
	text := server(t, func(s *zmq4.Socket) error { return zmqauth.CurveServer(s, "d", cert) },
		func(a *zmqauth.Authenticator) { must.OK(t, a.ConfigureCurve("d", zmqauth.CurveAllowAny)) },
		"tcp://127.0.0.1:*")
	r := examine(t, patience, text, doctor.Client{Mechanism: "CURVE", ServerKey: own.Public})
	wantBad(t, r, doctor.StepServerKey, "its key is not "+own.Public.String(), "fingerprints")
	r = examine(t, patience, text, doctor.Client{Mechanism: "CURVE", ServerKey: cert.Public,
		Enter: enter(t, text, func(s *zmq4.Socket) error {
			return zmqauth.CurveClient(s, cert.Public, own)
		})})
	if !r.Well() || r.Steps[len(r.Steps)-1].Name != doctor.StepAccess {
		t.Errorf("%+v", r.Steps)
	}
}

// A server whose socket is of another type cuts the handshake off.
func TestSocketType(t *testing.T) {
	text := server(t, func(s *zmq4.Socket) error { return zmqauth.NullServer(s, "d") },
		func(*zmqauth.Authenticator) {}, "tcp://127.0.0.1:*")
	r := examine(t, patience, text, doctor.Client{Socket: "SUB",
		Enter: func(ctx context.Context) error {
			socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.SUB)
			return zmqauth.Connect(ctx, socket, text)
		}})
	wantBad(t, r, doctor.StepAccess, "cuts the handshake off", "does not go with SUB")
}
