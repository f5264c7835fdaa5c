package zmqauth

import (
	"fmt"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// guarded is a guarded CURVE server.
type guarded struct {
	a        *Authenticator
	zctx     *zmq4.Context
	server   *zmq4.Socket
	cert     *Certificate
	endpoint string
	creds    Credentials
}

func newGuarded(t testing.TB, bind string, cfg Config, limits *Limits) *guarded {
	t.Helper()
	g := &guarded{zctx: testzmq.NewContext(t)}
	var err error
	g.a, err = New(g.zctx, &cfg)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, g.a.Close()) })
	must.OK(t, g.a.Start())
	must.OK(t, g.a.ConfigureCredentials("d", &g.creds))
	g.cert, err = NewCertificate()
	must.OK(t, err)
	g.server = testzmq.NewSocket(t, g.zctx, zmq4.ROUTER)
	must.OK(t, g.server.SetIpv6(true))
	must.OK(t, CurveServer(g.server, "d", g.cert))
	must.OK(t, g.a.Guard(g.server, limits))
	must.OK(t, g.server.Bind(bind))
	g.endpoint, err = g.server.GetLastEndpoint()
	must.OK(t, err)
	return g
}

// client connects a client with a key that is let in.
func (g *guarded) client(t testing.TB, zctx *zmq4.Context) (*zmq4.Socket, PublicKey) {
	t.Helper()
	cert, err := NewCertificate()
	must.OK(t, err)
	must.OK(t, g.creds.SetKey(cert.Public, Entry{}))
	s := testzmq.NewSocket(t, zctx, zmq4.DEALER)
	must.OK(t, CurveClient(s, g.cert.Public, cert))
	must.OK(t, Connect(t.Context(), s, g.endpoint))
	return s, cert.Public
}

// await waits until there are so many sessions.
func (g *guarded) await(t testing.TB, count int) []Session {
	t.Helper()
	var all []Session
	testpeer.Eventually(t, fmt.Sprintf("there are %d sessions", count), func() bool {
		all = g.a.Sessions()
		return len(all) == count
	})
	return all
}

// TestGuard: sessions are known, and the one whose key is taken away ends, alone.
func TestGuard(t *testing.T) {
	for _, bind := range []string{"tcp://127.0.0.1:*", "tcp://[::1]:*"} {
		t.Run(bind, func(t *testing.T) {
			if bind != "tcp://127.0.0.1:*" {
				testpeer.NeedIPv6(t)
			}
			testGuard(t, bind)
		})
	}
}

func testGuard(t *testing.T, bind string) {
	g := newGuarded(t, bind, Config{}, nil)
	zctx := testzmq.NewContext(t)
	ann, annKey := g.client(t, zctx)
	bob, bobKey := g.client(t, zctx)
	all := g.await(t, 2)
	for i, key := range []PublicKey{annKey, bobKey} {
		s := all[i]
		if s.Key != key || !s.Exact || s.Domain != "d" || s.Mechanism != "CURVE" ||
			s.UserID != key.String() || !s.Client.IsValid() || s.Client.Port() == 0 ||
			!g.a.Alive(s.ID) {
			t.Errorf("%+v", s)
		}
	}
	g.creds.DeleteKey(annKey)
	left := g.await(t, 1)
	if left[0].Key != bobKey || g.a.Alive(all[0].ID) {
		t.Errorf("%+v", left)
	}
	_, err := bob.Send("still here", 0)
	must.OK(t, err)
	must.OK(t, g.server.SetRcvtimeo(10*time.Second))
	if got, err := g.server.RecvMessage(0); err != nil || got[1] != "still here" {
		t.Errorf("%q, %v", got, err)
	}
	_ = ann
	if count := g.a.Disconnect(func(s Session) bool { return s.Key == bobKey }); count != 1 {
		t.Errorf("%d sessions were ended", count)
	}
	again := g.await(t, 1) // libzmq connects again
	if again[0].ID == all[1].ID || again[0].Key != bobKey {
		t.Errorf("%+v", again)
	}
}

// TestGuardManyOfOneAddress: every session of many clients of one address is known exactly, and
// only the one that is to end ends.
func TestGuardManyOfOneAddress(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
	zctx := testzmq.NewContext(t)
	const clients = 100
	byKey := make(map[PublicKey]*zmq4.Socket)
	for range clients {
		cert, err := NewCertificate()
		must.OK(t, err)
		must.OK(t, g.creds.SetKey(cert.Public, Entry{}))
		s := testzmq.NewSocket(t, zctx, zmq4.DEALER)
		must.OK(t, CurveClient(s, g.cert.Public, cert))
		must.OK(t, s.Connect(g.endpoint))
		byKey[cert.Public] = s
	}
	all := g.await(t, clients)
	for _, s := range all {
		if !s.Exact {
			t.Fatalf("%+v", s)
		}
	}
	for i, s := range all {
		g.creds.DeleteKey(s.Key)
		if i%10 == 9 {
			g.await(t, clients-i-1)
			for _, left := range g.a.Sessions() {
				socket := byKey[left.Key]
				_, err := socket.Send(left.Key.String(), 0)
				must.OK(t, err)
			}
			want := make(map[string]bool)
			for _, left := range g.a.Sessions() {
				want[left.Key.String()] = true
			}
			for range len(want) {
				got, err := g.server.RecvMessage(0)
				must.OK(t, err)
				if !want[got[1]] {
					t.Fatalf("a message of %s", got[1])
				}
			}
		}
	}
}
