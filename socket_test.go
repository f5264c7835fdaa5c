package zmqauth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestRolesFailClosed: where no handler is bound, or its callback panics, no data reaches the
// socket of a role.
func TestRolesFailClosed(t *testing.T) {
	key, client := newCertificate(t), newCertificate(t)
	for name, test := range map[string]struct{ server, client func(*zmq4.Socket) error }{
		"NULL":  {nullServer("d"), nullClient},
		"PLAIN": {plainServer("d"), plainClient("ann", "secret")},
		"CURVE": {curveServer("d", key), curveClient(key.Public, client)},
	} {
		for state, prepare := range map[string]func(*Authenticator) error{
			"never started": func(*Authenticator) error { return nil },
			"stopped":       func(a *Authenticator) error { return errors.Join(a.Start(), a.Stop()) },
			"closed":        func(a *Authenticator) error { return errors.Join(a.Start(), a.Close()) },
			"panicking": func(a *Authenticator) error {
				return errors.Join(a.Start(), panicForEverybody(a))
			},
		} {
			if name == "NULL" && state == "panicking" {
				continue // NULL asks no callback
			}
			t.Run(name+", "+state, func(t *testing.T) {
				t.Parallel()
				a := newAuthenticator(t, Config{})
				must.OK(t, errors.Join(
					a.ConfigurePlain("d", map[string]string{"ann": "secret"}),
					a.ConfigureCurve("d", CurveAllowAny)))
				must.OK(t, prepare(a))
				server := newServer(t, a.Context(), "tcp://127.0.0.1:*", test.server)
				socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
				must.OK(t, test.client(socket))
				must.OK(t, socket.Connect(server.endpoint))
				_, _ = socket.Send("x", zmq4.DONTWAIT) // goes out as soon as the client is in
				must.OK(t, server.socket.SetRcvtimeo(time.Second))
				if text, err := server.socket.Recv(0); err == nil {
					t.Errorf("received %q", text)
				}
			})
		}
	}
}

func panicForEverybody(a *Authenticator) error {
	return errors.Join(
		a.ConfigurePlainCallback("d", func(context.Context, string, string, string) (*Identity, error) {
			panic("plain")
		}),
		a.ConfigureCurveCallback("d", func(context.Context, string, PublicKey) (*Identity, error) {
			panic("curve")
		}))
}

func TestServerRolesSetTheHandshakeInterval(t *testing.T) {
	ctx := testzmq.NewContext(t)
	for _, test := range []struct{ before, after time.Duration }{
		{libzmqHandshakeInterval, handshakeInterval}, {time.Second, time.Second},
		{time.Minute, time.Minute}, {0, 0},
	} {
		socket := testzmq.NewSocket(t, ctx, zmq4.PULL)
		must.OK(t, socket.SetHandshakeIvl(test.before))
		must.OK(t, NullServer(socket, "d"))
		if got, err := socket.GetHandshakeIvl(); err != nil || got != test.after {
			t.Errorf("%v became %v, %v", test.before, got, err)
		}
	}
}

func TestRolesAreChecked(t *testing.T) {
	ctx := testzmq.NewContext(t)
	certificate, public := newCertificate(t), &Certificate{Public: newCertificate(t).Public}
	long := strings.Repeat("x", 256)
	bound := testzmq.NewSocket(t, ctx, zmq4.PULL)
	must.OK(t, bound.Bind("tcp://127.0.0.1:*"))
	for name, role := range map[string]func(*zmq4.Socket) error{
		"NULL, no domain":             nullServer(""),
		"PLAIN, no domain":            plainServer(""),
		"CURVE, no domain":            curveServer("", certificate),
		"GSSAPI, no domain":           func(s *zmq4.Socket) error { return GSSAPIServer(s, "", "") },
		"a long domain":               nullServer(long),
		"CURVE, no certificate":       curveServer("d", nil),
		"CURVE, no secret key":        curveServer("d", public),
		"no socket":                   func(*zmq4.Socket) error { return NullServer(nil, "d") },
		"a bound socket":              func(*zmq4.Socket) error { return NullServer(bound, "d") },
		"client, no name":             plainClient("", "x"),
		"client, no password":         plainClient("x", ""),
		"client, long name":           plainClient(long, "x"),
		"client, long password":       plainClient("x", long),
		"client, no certificate":      curveClient(certificate.Public, nil),
		"client, no secret key":       curveClient(certificate.Public, public),
		"client, no server key":       curveClient(PublicKey{}, certificate),
		"GSSAPI client, no service":   func(s *zmq4.Socket) error { return GSSAPIClient(s, "", "") },
		"GSSAPI client, no principal": func(s *zmq4.Socket) error { return GSSAPIClient(s, "ann", "") },
	} {
		socket := testzmq.NewSocket(t, ctx, zmq4.PULL)
		if err := role(socket); err == nil || !strings.HasPrefix(err.Error(), "zmqauth: ") {
			t.Errorf("%s: %v", name, err)
		}
		if mechanism, err := socket.GetMechanism(); err != nil || mechanism != zmq4.NULL {
			t.Errorf("%s: mechanism %v after the error, %v", name, mechanism, err)
		}
		if domain, err := socket.GetZapDomain(); err != nil || domain != "" {
			t.Errorf("%s: domain %q after the error, %v", name, domain, err)
		}
	}
}
