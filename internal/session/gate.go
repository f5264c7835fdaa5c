package session

import (
	"net/netip"
	"sync"
	"time"
)

// Gate holds the limits of a socket where another listener accepts in its place, before libzmq. Any
// goroutine may call its methods and those of its Visitors.
type Gate struct {
	mu       sync.Mutex
	limits   *limiter // nil: none
	visitors map[*Visitor]struct{}
}

// Visitor is a connection that a Gate has admitted.
type Visitor struct {
	gate *Gate
	conn conn
	in   bool // it was let in
}

// handshake is the lane of visitors: silence counts as a failure.
var handshake = &lane{limit: 1}

// NewGate makes a Gate. nil limits are none.
func NewGate(l *Limits) *Gate {
	g := &Gate{visitors: make(map[*Visitor]struct{})}
	g.SetLimits(l)
	return g
}

// SetLimits puts other limits in force for new connections and handshakes. nil limits are none.
// Connections that are open stay, and count.
func (g *Gate) SetLimits(l *Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case l == nil:
		g.limits = nil
		for v := range g.visitors {
			v.conn.client, v.conn.let = nil, false
		}
	case g.limits != nil:
		g.limits.set(*l)
	default:
		g.limits = newLimiter(*l)
		for v := range g.visitors {
			g.limits.adopt(&v.conn, v.in, time.Now())
		}
	}
}

// Admit admits a connection, or tells the reason why not. client is zero for IPC.
func (g *Gate) Admit(client netip.AddrPort, now time.Time) (v *Visitor, reason string) {
	v = &Visitor{gate: g, conn: conn{lane: handshake, since: now}}
	v.conn.origin.client = client
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limits != nil {
		if reason = g.limits.admit(&v.conn, now); reason != "" {
			return nil, reason
		}
	}
	g.visitors[v] = struct{}{}
	return v, ""
}

// Decide takes note of a reply: whether it lets the client in, or else refuses it for good.
func (v *Visitor) Decide(ok, refused bool, now time.Time) {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.conn.decided = true
	v.in = v.in || ok
	switch limits := v.gate.limits; {
	case limits == nil:
	case ok && !v.conn.let:
		limits.succeed(&v.conn)
	case refused:
		limits.fail(&v.conn, now)
	}
}

// IsDecided tells whether there was a reply.
func (v *Visitor) IsDecided() bool {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	return v.conn.decided
}

// IsOverdue tells whether the handshake takes too long.
func (v *Visitor) IsOverdue(now time.Time) bool {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	return v.gate.limits != nil && v.gate.limits.isOverdue(&v.conn, now)
}

// Leave says that the connection has ended. failed says that its end before a reply is a failed
// handshake.
func (v *Visitor) Leave(failed bool, now time.Time) {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	delete(v.gate.visitors, v)
	if v.gate.limits == nil {
		return
	}
	v.conn.decided = v.conn.decided || !failed
	v.gate.limits.leave(&v.conn, now)
}

// IsNearLimit tells whether a connection with that descriptor leaves too few descriptors.
func IsNearLimit(fd int) bool { return isNearLimit(fd) }
