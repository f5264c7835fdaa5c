package zmqauth

import (
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// serve adds a guarded CURVE server of a type, and binds it to endpoints.
func (g *guarded) serve(t *testing.T, kind zmq4.Type, binds ...string) (*zmq4.Socket, []string) {
	t.Helper()
	s := testzmq.NewSocket(t, g.zctx, kind)
	must.OK(t, CurveServer(s, "d", g.cert))
	must.OK(t, g.a.Guard(s, nil))
	var endpoints []string
	for _, bind := range binds {
		must.OK(t, s.Bind(bind))
		endpoint, err := s.GetLastEndpoint()
		must.OK(t, err)
		endpoints = append(endpoints, endpoint)
	}
	return s, endpoints
}

// enter connects a client of a type with a new key that is let in, and waits for its session.
func (g *guarded) enter(t *testing.T, zctx *zmq4.Context, kind zmq4.Type, endpoint string) (
	*zmq4.Socket, Session) {
	t.Helper()
	cert := newCertificate(t)
	must.OK(t, g.creds.SetKey(cert.Public, Entry{}))
	s := testzmq.NewSocket(t, zctx, kind)
	must.OK(t, CurveClient(s, g.cert.Public, cert))
	if kind == zmq4.SUB {
		must.OK(t, s.SetSubscribe(""))
	}
	must.OK(t, s.Connect(endpoint))
	return s, g.sessionOf(t, cert.Public)
}

// sessionOf waits for the session of a key.
func (g *guarded) sessionOf(t *testing.T, key PublicKey) (found Session) {
	t.Helper()
	testpeer.Eventually(t, "the client has a session", func() bool {
		for _, s := range g.a.Sessions() {
			if s.Key == key {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// gone waits until a session has ended, and checks that others have not.
func (g *guarded) gone(t *testing.T, s Session, others ...Session) {
	t.Helper()
	testpeer.Eventually(t, "the session has ended", func() bool { return !g.a.Alive(s.ID) })
	for _, other := range others {
		if !g.a.Alive(other.ID) {
			t.Errorf("another one has ended: %+v", other)
		}
	}
}

// TestGuardSocketTypes: whatever the types are, and whoever speaks, the connection is known. Who is
// cut gets nothing more; the others get all.
func TestGuardSocketTypes(t *testing.T) {
	for _, types := range []struct {
		server, client zmq4.Type
		receives       bool // the client receives, and never sends
		request        bool // the client sends first
	}{
		{zmq4.PUB, zmq4.SUB, true, false},
		{zmq4.XPUB, zmq4.SUB, true, false},
		{zmq4.PUSH, zmq4.PULL, true, false},
		{zmq4.PULL, zmq4.PUSH, false, true},
		{zmq4.SUB, zmq4.PUB, false, true},
		{zmq4.REP, zmq4.REQ, false, true},
		{zmq4.ROUTER, zmq4.DEALER, false, true},
	} {
		t.Run(fmt.Sprintf("%v-%v", types.server, types.client), func(t *testing.T) {
			g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
			zctx := testzmq.NewContext(t)
			server, endpoints := g.serve(t, types.server, "tcp://127.0.0.1:*")
			if types.server == zmq4.SUB {
				must.OK(t, server.SetSubscribe(""))
			}
			_, ann := g.enter(t, zctx, types.client, endpoints[0])
			client, bob := g.enter(t, zctx, types.client, endpoints[0])
			if !ann.Exact || !bob.Exact || ann.Client == bob.Client {
				t.Errorf("%+v, %+v", ann, bob)
			}
			g.creds.DeleteKey(ann.Key)
			g.gone(t, ann, bob)
			from, to := client, server
			if types.receives {
				from, to = server, client
			}
			delivers(t, from, to)
		})
	}
}

// delivers sends messages until one has come. That a subscription or a connection is not there yet
// loses those before.
func delivers(t *testing.T, from, to *zmq4.Socket) {
	t.Helper()
	testpeer.Eventually(t, "a message arrives", func() bool {
		_, _ = from.Send("message", zmq4.DONTWAIT)
		frames, err := to.RecvMessage(zmq4.DONTWAIT)
		return err == nil && frames[len(frames)-1] == "message"
	})
}

// TestGuardPair: a PAIR server has one client.
func TestGuardPair(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
	server, endpoints := g.serve(t, zmq4.PAIR, "tcp://127.0.0.1:*")
	zctx := testzmq.NewContext(t)
	first, ann := g.enter(t, zctx, zmq4.PAIR, endpoints[0])
	delivers(t, server, first)
	g.creds.DeleteKey(ann.Key)
	g.gone(t, ann)
	testpeer.Eventually(t, "the server has no client", func() bool {
		_, err := server.Send("to nobody", zmq4.DONTWAIT)
		return zmq4.AsErrno(err) == zmq4.Errno(syscall.EAGAIN)
	})
}

// TestGuardEndpoints: one socket may have several endpoints, several sockets one domain; each
// session is on its own connection.
func TestGuardEndpoints(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
	zctx := testzmq.NewContext(t)
	binds := []string{"tcp://127.0.0.1:*", "tcp://*:*", "ipc://" + filepath.Join(t.TempDir(), "s")}
	if testpeer.HasIPv6(t) {
		must.OK(t, g.zctx.SetIpv6(true))
		must.OK(t, zctx.SetIpv6(true))
		binds = append(binds, "tcp://[::1]:*")
	}
	var sessions []Session
	for range 2 {
		_, endpoints := g.serve(t, zmq4.ROUTER, binds...)
		for _, endpoint := range endpoints {
			if endpoint[:10] == "tcp://0.0." {
				endpoint = "tcp://127.0.0.1" + endpoint[13:]
			} else if len(endpoint) > 11 && endpoint[:11] == "tcp://[::]:" {
				endpoint = "tcp://127.0.0.1" + endpoint[10:]
			}
			_, s := g.enter(t, zctx, zmq4.DEALER, endpoint)
			if (s.Peer != "") == s.Exact || s.Client.IsValid() != s.Exact {
				t.Errorf("at %s: %+v", endpoint, s)
			}
			sessions = append(sessions, s)
		}
	}
	for len(sessions) > 0 {
		s := sessions[0]
		sessions = sessions[1:]
		if s.Exact {
			g.creds.DeleteKey(s.Key)
			g.gone(t, s, sessions...)
			continue
		}
		if count := g.a.Disconnect(func(o Session) bool { return o.ID == s.ID }); count != 2 {
			t.Errorf("%d sessions over IPC have ended", count) // both are of this process
		}
		sessions = slices.DeleteFunc(sessions, func(o Session) bool { return o.Peer == s.Peer })
		g.gone(t, s, sessions...)
	}
}

// TestGuardConnectingServer: a CURVE server may be the one that connects.
func TestGuardConnectingServer(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
	zctx := testzmq.NewContext(t)
	var sessions []Session
	server, _ := g.serve(t, zmq4.DEALER)
	for range 2 {
		cert := newCertificate(t)
		must.OK(t, g.creds.SetKey(cert.Public, Entry{}))
		client := testzmq.NewSocket(t, zctx, zmq4.DEALER)
		must.OK(t, CurveClient(client, g.cert.Public, cert))
		must.OK(t, client.Bind("tcp://127.0.0.1:*"))
		endpoint, err := client.GetLastEndpoint()
		must.OK(t, err)
		must.OK(t, server.Connect(endpoint))
		s := g.sessionOf(t, cert.Public)
		if !s.Exact || "tcp://"+s.Client.String() != endpoint {
			t.Errorf("at %s: %+v", endpoint, s)
		}
		sessions = append(sessions, s)
	}
	g.creds.DeleteKey(sessions[0].Key)
	g.gone(t, sessions[0], sessions[1])
}

// TestGuardRebinding: the sessions of an endpoint that is unbound end, without an event of
// libzmq's. Those of the next endpoint are known.
func TestGuardRebinding(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
	zctx := testzmq.NewContext(t)
	endpoint := g.endpoint
	for range 3 {
		client, s := g.enter(t, zctx, zmq4.DEALER, endpoint)
		must.OK(t, g.server.Unbind(endpoint))
		testpeer.Eventually(t, "the session has ended", func() bool {
			_, _ = g.server.RecvMessage(zmq4.DONTWAIT) // libzmq waits for a call of the socket's
			return !g.a.Alive(s.ID)
		})
		must.OK(t, client.Disconnect(endpoint))
		must.OK(t, g.server.Bind("tcp://127.0.0.1:*"))
		var err error
		endpoint, err = g.server.GetLastEndpoint()
		must.OK(t, err)
	}
	_, s := g.enter(t, zctx, zmq4.DEALER, endpoint)
	g.creds.DeleteKey(s.Key)
	g.gone(t, s)
}

// TestGuardClosedSocket: the sessions of a socket end with it, and no others do.
func TestGuardClosedSocket(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
	zctx := testzmq.NewContext(t)
	server, endpoints := g.serve(t, zmq4.ROUTER, "tcp://127.0.0.1:*")
	_, other := g.enter(t, zctx, zmq4.DEALER, g.endpoint)
	_, s := g.enter(t, zctx, zmq4.DEALER, endpoints[0])
	must.OK(t, server.Close())
	g.gone(t, s, other)
}

// TestGuardOfNone: without Guard there are clients, and no sessions.
func TestGuardOfNone(t *testing.T) {
	a := startAuthenticator(t, Config{})
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", func(s *zmq4.Socket) error {
		return NullServer(s, "d")
	})
	_, err := connect(t, server.endpoint, func(*zmq4.Socket) error { return nil })
	must.OK(t, err)
	if all := a.Sessions(); len(all) != 0 || a.Alive(1) ||
		a.Disconnect(func(Session) bool { return true }) != 0 || a.Stats().TurnedAway != 0 {
		t.Errorf("%+v", all)
	}
}

// TestOnSessionUnread: a function that does not return holds up nothing.
func TestOnSessionUnread(t *testing.T) {
	free, called := make(chan bool), make(chan bool, 1000)
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{OnSession: func(Session, bool) {
		<-free
		called <- true
	}}, nil)
	zctx := testzmq.NewContext(t)
	var last Session
	for range 10 {
		_, last = g.enter(t, zctx, zmq4.DEALER, g.endpoint)
	}
	g.creds.DeleteKey(last.Key)
	g.gone(t, last)
	if count := g.a.Disconnect(func(Session) bool { return true }); count != 9 {
		t.Errorf("%d sessions have ended", count)
	}
	g.await(t, 9) // they have come back
	close(free)
	for range 10 + 10 + 9 {
		select {
		case <-called:
		case <-time.After(patience):
			t.Fatal("not all is told")
		}
	}
}
