package zmqauth

import (
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestSetLimits: other limits hold for new connections, and count those that are open. Without
// limits all get in again.
func TestSetLimits(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{}, nil)
	zctx := testzmq.NewContext(t)
	for range 2 {
		g.client(t, zctx)
	}
	g.await(t, 2)
	for _, limits := range []*Limits{{PerAddress: 2}, {MaxConns: 2}} {
		before := g.a.Stats().TurnedAway
		must.OK(t, g.a.SetLimits(g.server, limits))
		late, lateKey := g.late(t, zctx)
		testpeer.Eventually(t, "a third client is turned away", func() bool {
			return g.a.Stats().TurnedAway > before
		})
		if len(g.a.Sessions()) != 2 {
			t.Errorf("%+v: %+v", limits, g.a.Sessions())
		}
		must.OK(t, g.a.SetLimits(g.server, nil))
		for _, s := range g.await(t, 3) {
			if s.ID != 1 && s.ID != 2 && s.Key != lateKey {
				t.Errorf("%+v", s)
			}
		}
		must.OK(t, late.Close())
		g.await(t, 2)
	}
	if err := g.a.SetLimits(g.server, &Limits{Rate: -1}); err == nil {
		t.Error("limits that mean nothing are taken")
	}
	other := testzmq.NewSocket(t, g.zctx, zmq4.ROUTER)
	if err := g.a.SetLimits(other, nil); err == nil {
		t.Error("a socket that is not guarded has limits")
	}
}

// late connects a client that need not get in at once.
func (g *guarded) late(t *testing.T, zctx *zmq4.Context) (*zmq4.Socket, PublicKey) {
	t.Helper()
	cert, err := NewCertificate()
	must.OK(t, err)
	must.OK(t, g.creds.SetKey(cert.Public, Entry{}))
	s, err := zctx.NewSocket(zmq4.DEALER)
	must.OK(t, err)
	must.OK(t, s.SetLinger(0))
	must.OK(t, CurveClient(s, g.cert.Public, cert))
	must.OK(t, s.Connect(g.endpoint))
	return s, cert.Public
}
