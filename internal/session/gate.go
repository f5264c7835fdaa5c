package session

import (
	"net/netip"
	"sync"
	"time"
)

// Gate holds the limits of a socket where another listener accepts in its place, before libzmq. Any
// goroutine may call its methods and those of its Visitors.
type Gate struct {
	mu     sync.Mutex
	limits *limiter // nil: none
}

// Visitor is a connection that a Gate has admitted.
type Visitor struct {
	gate *Gate
	conn conn
}

// handshake is the lane of visitors: silence counts as a failure.
var handshake = &lane{limit: 1}

// NewGate makes a Gate. nil limits are none.
func NewGate(l *Limits) *Gate {
	g := new(Gate)
	if l != nil {
		g.limits = newLimiter(*l)
	}
	return g
}

// Admit admits a connection, or tells the reason why not. client is zero for IPC.
func (g *Gate) Admit(client netip.AddrPort, now time.Time) (v *Visitor, reason string) {
	v = &Visitor{gate: g, conn: conn{lane: handshake, since: now}}
	v.conn.origin.client = client
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limits != nil {
		reason = g.limits.admit(&v.conn, now)
	}
	return v, reason
}

// Decide takes note of a reply: whether it lets the client in, or else refuses it for good.
func (v *Visitor) Decide(ok, refused bool, now time.Time) {
	v.gate.mu.Lock()
	defer v.gate.mu.Unlock()
	v.conn.decided = true
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
	if v.gate.limits == nil {
		return
	}
	v.conn.decided = v.conn.decided || !failed
	v.gate.limits.leave(&v.conn, now)
}

// IsNearLimit tells whether a connection with that descriptor leaves too few descriptors.
func IsNearLimit(fd int) bool { return isNearLimit(fd) }
