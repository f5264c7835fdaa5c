package zmqauth

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/session"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// dial opens a TCP connection to the server and says nothing.
func (g *guarded) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.endpoint, "tcp://"))
	must.OK(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must.OK(t, conn.SetReadDeadline(time.Now().Add(patience)))
	return conn
}

// ended waits until the server has ended a connection.
func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

// turnedAway waits until so many connections were turned away, and checks that the log has one line
// for the reason.
func (g *guarded) turnedAway(t *testing.T, count uint64, log *logbuffer.Buffer, reason string) {
	t.Helper()
	testpeer.Eventually(t, "connections are turned away", func() bool {
		return g.a.Stats().TurnedAway >= count
	})
	waitForReports(t, g.a)
	if n := strings.Count(log.String(), "reason="+reason); n != 1 {
		t.Errorf("%d lines about %s:\n%s", n, reason, log.String())
	}
}

// stranger connects a client with a key that is not let in, from an address.
func (g *guarded) stranger(t *testing.T, zctx *zmq4.Context, from string) *zmq4.Socket {
	t.Helper()
	s := testzmq.NewSocket(t, zctx, zmq4.DEALER)
	must.OK(t, CurveClient(s, g.cert.Public, newCertificate(t)))
	must.OK(t, s.SetReconnectIvl(time.Millisecond))
	must.OK(t, s.Connect(strings.Replace(g.endpoint, "tcp://", "tcp://"+from+":0;", 1)))
	return s
}

// TestGuardLimits: connections beyond the limits are ended, counted, and logged in one line; a
// client within them gets in.
func TestGuardLimits(t *testing.T) {
	for reason, limits := range map[string]Limits{
		session.TooMany:      {MaxConns: 2},
		session.TooManyOfOne: {PerAddress: 2},
		session.TooFast:      {Rate: 0.001, Burst: 2},
	} {
		t.Run(reason, func(t *testing.T) {
			var log logbuffer.Buffer
			g := newGuarded(t, "tcp://127.0.0.1:*", Config{Logger: log.Logger()}, &limits)
			g.client(t, testzmq.NewContext(t))
			g.await(t, 1)
			g.dial(t) // it is within the limits, and goes on
			const more = 5
			for range more {
				ended(t, g.dial(t))
			}
			g.turnedAway(t, more, &log, reason)
			g.await(t, 1)
		})
	}
}

// TestGuardDeadline: who is silent is out when the time for the handshake is over, and nobody else.
func TestGuardDeadline(t *testing.T) {
	var log logbuffer.Buffer
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{Logger: log.Logger()},
		&Limits{Deadline: 100 * time.Millisecond})
	g.client(t, testzmq.NewContext(t))
	s := g.await(t, 1)
	begun := time.Now()
	ended(t, g.dial(t))
	if took := time.Since(begun); took > handshakeInterval/2 {
		t.Errorf("after %v", took)
	}
	g.turnedAway(t, 1, &log, session.TooSlow)
	if !g.a.Alive(s[0].ID) {
		t.Error("the client is out, too")
	}
}

// TestGuardPenalty: who is refused again and again is turned away before its handshake. Another
// address is not, and neither is one that somebody good has.
func TestGuardPenalty(t *testing.T) {
	var log logbuffer.Buffer
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{Logger: log.Logger()},
		&Limits{Penalty: time.Hour})
	zctx := testzmq.NewContext(t)
	g.client(t, zctx)
	g.await(t, 1)
	refusals := func() uint64 { return g.a.Stats().Denied }
	for n := range uint64(4) { // at the address of the good one
		g.stranger(t, zctx, "127.0.0.1")
		testpeer.Eventually(t, "it is refused", func() bool { return refusals() > n })
	}
	g.client(t, zctx)
	g.await(t, 2)
	if count := g.a.Stats().TurnedAway; count != 0 {
		t.Errorf("%d were turned away", count)
	}
	for before := refusals(); g.a.Stats().TurnedAway == 0; {
		g.stranger(t, zctx, "127.0.0.2")
		testpeer.Eventually(t, "it is out", func() bool {
			return refusals()+g.a.Stats().TurnedAway > before
		})
		before = refusals()
	}
	g.turnedAway(t, 1, &log, session.IsPenalised)
	if got := refusals(); got < 4+2 || got > 4+4 { // a failure is seen a little later than its reply
		t.Errorf("%d handshakes were refused", got)
	}
	g.await(t, 2)
}

// TestGuardExempt: limits of addresses are not for those that are exempt.
func TestGuardExempt(t *testing.T) {
	g := newGuarded(t, "tcp://127.0.0.1:*", Config{Logger: quiet()}, &Limits{PerAddress: 1,
		Rate: 0.001, Penalty: time.Hour, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	zctx := testzmq.NewContext(t)
	for n := range uint64(3) {
		g.stranger(t, zctx, "127.0.0.1")
		testpeer.Eventually(t, "it is refused", func() bool { return g.a.Stats().Denied > n })
	}
	for range 3 {
		g.client(t, zctx)
	}
	g.await(t, 3)
	if count := g.a.Stats().TurnedAway; count != 0 {
		t.Errorf("%d were turned away", count)
	}
}

// TestGuardRefusesLimits: limits that mean nothing are an error.
func TestGuardRefusesLimits(t *testing.T) {
	j := newJudged(t, Config{})
	for _, l := range []Limits{{MaxConns: -1}, {PerAddress: -1}, {Rate: -1}, {Burst: -1},
		{Deadline: -1}, {Penalty: -1}, {Exempt: make([]netip.Prefix, 1)}} {
		s := testzmq.NewSocket(t, j.zctx, zmq4.ROUTER)
		must.OK(t, NullServer(s, "d"))
		if err := j.a.Guard(s, &l); err == nil {
			t.Errorf("%+v", l)
		}
	}
}
