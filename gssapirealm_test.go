package zmqauth

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testrealm"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// These tests run real clients against a real KDC.

func gssapiServer(domain string) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return GSSAPIServer(s, domain, "") }
}

// impatientGSSAPIServer soon ends a handshake in which the client says nothing.
func impatientGSSAPIServer(s *zmq4.Socket) error {
	return errors.Join(s.SetHandshakeIvl(300*time.Millisecond), GSSAPIServer(s, "d", ""))
}

func gssapiClient(principal string) func(*zmq4.Socket) error {
	return func(s *zmq4.Socket) error { return GSSAPIClient(s, principal, testrealm.Service) }
}

// connectAs connects a client to endpoint and fails where it does not get in.
func connectAs(t *testing.T, endpoint, principal string) *zmq4.Socket {
	t.Helper()
	socket, err := connect(t, endpoint, gssapiClient(principal))
	must.OK(t, err)
	return socket
}

// arrives sends a message from the client and checks the user id with which the server receives it.
func arrives(t *testing.T, client *zmq4.Socket, server *server, want string) {
	t.Helper()
	_, err := client.Send("hello", 0)
	must.OK(t, err)
	if text, metadata := server.receive(t, "User-Id"); text != "hello" || metadata["User-Id"] != want {
		t.Errorf("%q from %q, want %q", text, metadata["User-Id"], want)
	}
}

// sendAs leaves a client behind that goes on trying to connect. Its message goes out as soon as it
// gets in.
func sendAs(t *testing.T, endpoint, principal string) {
	t.Helper()
	socket := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	must.OK(t, GSSAPIClient(socket, principal, testrealm.Service))
	must.OK(t, socket.Connect(endpoint))
	_, err := socket.Send("hello", zmq4.DONTWAIT)
	must.OK(t, err)
}

// nothingArrives waits 2 s for data that must not come.
func nothingArrives(t *testing.T, server *server) {
	t.Helper()
	must.OK(t, server.socket.SetRcvtimeo(2*time.Second))
	if text, err := server.socket.Recv(0); err == nil {
		t.Errorf("received %q", text)
	}
}

// TestGSSAPIRealmAccepts: several principals in one process get in, each with its own user id.
func TestGSSAPIRealmAccepts(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		for name, role := range map[string]func(*zmq4.Socket) error{
			"keytab alone": gssapiServer("d"),
			"with a principal": func(s *zmq4.Socket) error {
				return GSSAPIServer(s, "d", testrealm.Service)
			},
		} {
			t.Run(name, func(t *testing.T) {
				a := startAuthenticator(t, Config{})
				server := newServer(t, a.Context(), "tcp://127.0.0.1:*", role)
				clients := testzmq.NewContext(t)
				for _, client := range []struct{ principal, want string }{
					{testrealm.Ann, testrealm.AnnFull}, {testrealm.Bob, testrealm.BobFull},
					{"", testrealm.CarolFull}, {testrealm.Ann, testrealm.AnnFull},
				} {
					socket, err := connectFrom(t, clients, server.endpoint, gssapiClient(client.principal))
					must.OK(t, err)
					arrives(t, socket, server, client.want)
				}
			})
		}
	})
}

// TestGSSAPIRealmIdentity: the identity that a callback returns reaches the server.
func TestGSSAPIRealmIdentity(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		a := startAuthenticator(t, Config{})
		callback := func(_ context.Context, domain, principal string) (*Identity, error) {
			metadata := map[string]string{"Principal": principal}
			return &Identity{UserID: "user of " + domain, Metadata: metadata}, nil
		}
		must.OK(t, a.ConfigureGSSAPICallback("d", callback))
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", gssapiServer("d"))
		socket := connectAs(t, server.endpoint, testrealm.Ann)
		_, err := socket.Send("hello", 0)
		must.OK(t, err)
		_, metadata := server.receive(t, "User-Id", "Principal")
		if metadata["User-Id"] != "user of d" || metadata["Principal"] != testrealm.AnnFull {
			t.Errorf("%q", metadata)
		}
	})
}

// TestGSSAPIRealmRefusals: whatever the reason, no data of a refused client reaches the server's
// socket. When the reason is gone, the same client gets in by itself, so nothing else has kept it
// out.
func TestGSSAPIRealmRefusals(t *testing.T) {
	answer := func(identity *Identity, err error) func(*Authenticator) error {
		return func(a *Authenticator) error {
			return a.ConfigureGSSAPICallback("d", func(context.Context, string, string) (*Identity, error) {
				return identity, err
			})
		}
	}
	name := func(principals ...string) func(*Authenticator) error {
		return func(a *Authenticator) error { return a.ConfigureGSSAPI("d", principals...) }
	}
	testrealm.Run(t, func(*testrealm.Realm) {
		for reason, test := range map[string]struct {
			refuse func(*Authenticator) error
			mend   func(*Authenticator) error // nil: lets everyone in
		}{
			ReasonAddressDenied: {
				refuse: func(a *Authenticator) error { return a.DenyDomain("d", "127.0.0.1") },
				mend:   func(a *Authenticator) error { a.ResetAddresses(); return nil },
			},
			ReasonUnknownPrincipal: {
				refuse: name("ann@"+testrealm.Name, testrealm.BobFull, "*@"+testrealm.Name, "ann/*@OTHER.TEST"),
				mend:   name("ann/*@" + testrealm.Name),
			},
			ReasonCallbackDenied: {refuse: answer(nil, ErrDenied)},
			ReasonTryAgain:       {refuse: answer(nil, ErrTemporary)},
			ReasonCallbackError:  {refuse: answer(&Identity{}, errors.New("no database"))},
			ReasonCallbackTimeout: {refuse: func(a *Authenticator) error {
				return a.ConfigureGSSAPICallback("d",
					func(ctx context.Context, _, _ string) (*Identity, error) {
						<-ctx.Done()
						return &Identity{}, nil
					})
			}},
			ReasonCallbackPanic: {refuse: func(a *Authenticator) error {
				return a.ConfigureGSSAPICallback("d", func(context.Context, string, string) (*Identity, error) {
					panic("oh")
				})
			}},
			ReasonStopped: {refuse: (*Authenticator).Stop, mend: (*Authenticator).Start},
		} {
			t.Run(reason, func(t *testing.T) {
				t.Parallel()
				decisions := make(chan Decision, 100)
				a := startAuthenticator(t, Config{
					CallbackTimeout: 100 * time.Millisecond,
					OnDecision:      func(d Decision) { decisions <- d },
				})
				must.OK(t, test.refuse(a))
				server := newServer(t, a.Context(), "tcp://127.0.0.1:*", gssapiServer("d"))
				sendAs(t, server.endpoint, testrealm.Ann)
				nothingArrives(t, server)
				count := len(decisions)
				if count < 2 || count > 7 { // without delays they would be 13 or so
					t.Errorf("asked %d times in 2 s", count)
				}
				for range count {
					if d := <-decisions; d.Reason != reason || d.Status == zap.StatusOK || d.UserID != "" {
						t.Errorf("decision %+v", d)
					}
				}
				if test.mend == nil {
					test.mend = name(GSSAPIAllowAny)
				}
				must.OK(t, test.mend(a))
				server.receive(t)
			})
		}
	})
}

// TestGSSAPIRealmAfterClose shows the documented exception: where there is no ZAP handler, libzmq
// lets GSSAPI clients in, even one that has been refused before.
func TestGSSAPIRealmAfterClose(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		a := startAuthenticator(t, Config{})
		must.OK(t, a.ConfigureGSSAPI("d", testrealm.BobFull))
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", gssapiServer("d"))
		sendAs(t, server.endpoint, testrealm.Ann)
		testpeer.Eventually(t, "the client is refused", func() bool { return a.Stats().Denied > 0 })
		must.OK(t, a.Close())
		server.receive(t)
	})
}

// TestGSSAPIRealmStatus400 shows why there is zap.StatusCut: libzmq lets a GSSAPI client in that
// was refused with status 400.
func TestGSSAPIRealmStatus400(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		zctx := testzmq.NewContext(t)
		handler, err := zctx.NewSocket(zmq4.REP)
		must.OK(t, err)
		must.OK(t, handler.Bind(ZAPEndpoint))
		asked := make(chan bool, 100)
		go func() { // until the context's end
			defer func() { _ = handler.Close() }()
			for {
				if _, err := handler.RecvMessage(0); err != nil {
					return
				}
				asked <- true
				_, _ = handler.SendMessage("1.0", "1", "400", "Denied", "", "")
			}
		}()
		server := newServer(t, zctx, "tcp://127.0.0.1:*", gssapiServer("d"))
		sendAs(t, server.endpoint, testrealm.Ann)
		<-asked
		must.OK(t, server.socket.SetRcvtimeo(2*time.Second))
		if _, err := server.socket.Recv(0); err != nil {
			t.Errorf("%v: this libzmq keeps a GSSAPI client out whom the ZAP handler has refused "+
				"with status 400. Where no older one has to be served, zap.StatusCut can go, "+
				"and the delays of refusals in gssapi.go with it", err)
		}
	})
}

// TestGSSAPIRealmConnect: Connect reports a refusal soon, even to a client whose refusals are held
// back already.
func TestGSSAPIRealmConnect(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		a := startAuthenticator(t, Config{})
		must.OK(t, a.ConfigureGSSAPI("d", testrealm.BobFull))
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", gssapiServer("d"))
		for range 3 {
			begun := time.Now()
			_, err := connect(t, server.endpoint, gssapiClient(testrealm.Ann))
			var refused *HandshakeError
			if !errors.As(err, &refused) || refused.Status != 0 ||
				!strings.Contains(err.Error(), "refuses this Kerberos principal") {
				t.Fatalf("%v", err)
			}
			if took := time.Since(begun); took > 4*time.Second { // 2 s, on a machine with nothing else to do
				t.Errorf("it took %v", took)
			}
		}
		must.OK(t, a.ConfigureGSSAPI("d", testrealm.AnnFull))
		connectAs(t, server.endpoint, testrealm.Ann)
		// The delay is that of one principal.
		must.OK(t, a.ConfigureGSSAPI("d", GSSAPIAllowAny))
		arrives(t, connectAs(t, server.endpoint, testrealm.Bob), server, testrealm.BobFull)
	})
}

// TestGSSAPIRealmNoTicket: a client without a ticket does not get in, nor does one that names a
// service which the KDC does not know. Neither makes a request.
func TestGSSAPIRealmNoTicket(t *testing.T) {
	testrealm.Run(t, func(*testrealm.Realm) {
		a := startAuthenticator(t, Config{})
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", impatientGSSAPIServer)
		for name, role := range map[string]func(*zmq4.Socket) error{
			"no ticket": gssapiClient("stranger@client"),
			"an unknown service": func(s *zmq4.Socket) error {
				return GSSAPIClient(s, testrealm.Ann, "nobody@localhost")
			},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := connect(t, server.endpoint, role)
				var refused *HandshakeError
				if !errors.As(err, &refused) {
					t.Errorf("%v", err)
				}
			})
		}
		if requests := a.Stats().Requests; requests != 0 {
			t.Errorf("%d requests", requests)
		}
		arrives(t, connectAs(t, server.endpoint, testrealm.Ann), server, testrealm.AnnFull)
	})
}

// TestGSSAPIRealmWrongKeytab: a server that cannot read its clients' tickets lets no client in. As
// soon as it has the right keytab, it does.
func TestGSSAPIRealmWrongKeytab(t *testing.T) {
	testrealm.Run(t, func(r *testrealm.Realm) {
		keytab := filepath.Join(r.Dir, "keytab")
		must.OK(t, os.Rename(keytab, keytab+".right"))
		r.Run(t, "kadmin.local", "ktadd", "-norandkey", "-k", keytab, "bob/client")
		a := startAuthenticator(t, Config{})
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", impatientGSSAPIServer)
		_, err := connect(t, server.endpoint, gssapiClient(""))
		var refused *HandshakeError
		if !errors.As(err, &refused) || a.Stats().Requests != 0 {
			t.Errorf("%v, %+v", err, a.Stats())
		}
		must.OK(t, os.Rename(keytab+".right", keytab))
		arrives(t, connectAs(t, server.endpoint, ""), server, testrealm.CarolFull)
	})
}

// TestGSSAPIRealmWithoutKDC: while the KDC is down, connected clients stay connected, and clients
// that have a ticket to the service get in. The others get in when the KDC is back.
func TestGSSAPIRealmWithoutKDC(t *testing.T) {
	testrealm.Run(t, func(r *testrealm.Realm) {
		a := startAuthenticator(t, Config{})
		server := newServer(t, a.Context(), "tcp://127.0.0.1:*", impatientGSSAPIServer)
		connected := connectAs(t, server.endpoint, testrealm.Ann)
		r.StopKDC(t)
		arrives(t, connected, server, testrealm.AnnFull)
		if _, err := connect(t, server.endpoint, gssapiClient(testrealm.Bob)); err == nil {
			t.Error("a client without a ticket to the service got in without the KDC")
		}
		arrives(t, connectAs(t, server.endpoint, testrealm.Ann), server, testrealm.AnnFull)
		r.StartKDC(t)
		arrives(t, connectAs(t, server.endpoint, testrealm.Bob), server, testrealm.BobFull)
		arrives(t, connected, server, testrealm.AnnFull)
	})
}
