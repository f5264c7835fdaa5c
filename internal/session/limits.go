package session

import (
	"container/list"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Limits are what strangers may cost. The zero value of each field is no limit.
type Limits struct {
	MaxConns, PerAddress int           // connections of the socket; of one address (IPv6: /64)
	Rate                 float64       // new connections a second of one address
	Burst                int           // of them at once; 0: 1
	Deadline             time.Duration // until the handshake has ended
	Penalty              time.Duration // for the second failed handshake of an address in a row
	Exempt               []netip.Prefix
}

// Check tells whether the limits mean something.
func (l *Limits) Check() error {
	if l.MaxConns < 0 || l.PerAddress < 0 || !(l.Rate >= 0) || l.Burst < 0 || l.Deadline < 0 ||
		l.Penalty < 0 {
		return errors.New("limits cannot be negative")
	}
	for i, network := range l.Exempt {
		if !network.IsValid() {
			return fmt.Errorf("exempt network %d is none", i)
		}
	}
	return nil
}

// limiter holds the limits of one socket. The table's mutex guards it.
type limiter struct {
	Limits
	conns   int // of the socket
	clients map[netip.Prefix]*client
	idle    list.List // of *client without connections, the one seen longest ago in front
}

// client is what is known of one address.
type client struct {
	home     netip.Prefix
	idle     *list.Element // in limiter.idle; nil: it has connections
	conns    int           // that are open
	sessions int           // of these: let in
	tokens   float64
	filled   time.Time
	failures int       // in a row
	last     time.Time // of them
}

const (
	// maxClients is how many addresses without connections are remembered: of more, those seen last.
	maxClients = 65536
	// penaltyCeiling is how many times the first penalty the longest one is. After ten times as long
	// without a failure nothing is remembered.
	penaltyCeiling = 64
	penaltyMemory  = 10
)

func newLimiter(limits Limits) *limiter {
	l := &limiter{clients: make(map[netip.Prefix]*client)}
	l.set(limits)
	return l
}

// set puts other limits in force. What is known of addresses stays.
func (l *limiter) set(limits Limits) {
	l.Limits = limits
	l.Burst = max(l.Burst, 1)
}

// SetLimits puts other limits in force for new connections and handshakes. nil limits are none.
// Connections that are open stay, and count.
func (s *Socket) SetLimits(limits *Limits) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	switch {
	case limits == nil:
		s.limits = nil
		for _, c := range s.conns {
			c.client, c.let = nil, false
		}
	case s.limits != nil:
		s.limits.set(*limits)
	default:
		s.limits = newLimiter(*limits)
		for _, c := range s.conns {
			s.limits.adopt(c, c.session != nil, time.Now())
		}
	}
}

// adopt counts a connection that came before there were limits. in says that it was let in.
func (l *limiter) adopt(c *conn, in bool, now time.Time) {
	l.conns++
	if addr := c.origin.client.Addr(); l.holdFor(addr) {
		l.count(c, l.at(addr, now))
		if in {
			l.succeed(c)
		}
	}
}

// at is what is known of an address.
func (l *limiter) at(addr netip.Addr, now time.Time) *client {
	prefix := home(addr)
	known := l.clients[prefix]
	if known == nil {
		known = &client{home: prefix, tokens: float64(l.Burst), filled: now}
		l.clients[prefix] = known
		l.rest(known)
	} else if known.idle != nil {
		l.idle.MoveToBack(known.idle)
	}
	return known
}

// rest notes that a client has no connections, and forgets the one that was seen longest ago, if
// there are too many.
func (l *limiter) rest(k *client) {
	k.idle = l.idle.PushBack(k)
	if l.idle.Len() > maxClients {
		delete(l.clients, l.idle.Remove(l.idle.Front()).(*client).home)
	}
}

// admit is why a new connection may not stay. "": it may, and is counted.
func (l *limiter) admit(c *conn, now time.Time) (reason string) {
	if l.MaxConns > 0 && l.conns >= l.MaxConns {
		return TooMany
	}
	if addr := c.origin.client.Addr(); l.holdFor(addr) {
		k := l.at(addr, now)
		if reason = l.refusal(k, now); reason != "" {
			return reason
		}
		l.count(c, k)
	}
	l.conns++
	return ""
}

// count counts a connection of an address.
func (l *limiter) count(c *conn, k *client) {
	if k.idle != nil {
		l.idle.Remove(k.idle)
		k.idle = nil
	}
	k.conns++
	c.client = k
}

// refusal is why a new connection of an address may not stay; "": it may.
func (l *limiter) refusal(k *client, now time.Time) string {
	switch {
	case l.PerAddress > 0 && k.conns >= l.PerAddress:
		return TooManyOfOne
	case now.Before(k.last.Add(l.penalty(k))) && !(k.sessions > 0 && l.hasRoom()):
		return IsPenalised
	}
	if l.Rate <= 0 {
		return ""
	}
	k.tokens = min(float64(l.Burst), k.tokens+l.Rate*now.Sub(k.filled).Seconds())
	k.filled = now
	if k.tokens < 1 {
		return TooFast
	}
	k.tokens--
	return ""
}

// hasRoom tells whether those who share an address with somebody good are spared.
func (l *limiter) hasRoom() bool { return l.MaxConns == 0 || l.conns < l.MaxConns/2 }

// penalty is how long after its last failure an address has to wait. The first one is free.
func (l *limiter) penalty(k *client) time.Duration {
	if k.failures < 2 {
		return 0
	}
	return l.Penalty * time.Duration(min(1<<min(k.failures-2, 30), penaltyCeiling))
}

// holdFor tells whether the limits of single addresses hold for one. IPC has no address.
func (l *limiter) holdFor(addr netip.Addr) bool {
	isIn := func(network netip.Prefix) bool { return network.Contains(addr) }
	return addr.IsValid() && !slices.ContainsFunc(l.Exempt, isIn)
}

// fail counts a handshake that has failed.
func (l *limiter) fail(c *conn, now time.Time) {
	k := c.client
	if k == nil || c.failed {
		return
	}
	c.failed = true
	if now.Sub(k.last) > penaltyMemory*penaltyCeiling*l.Penalty {
		k.failures = 0
	}
	k.failures++
	k.last = now
}

// succeed counts a connection that was let in.
func (l *limiter) succeed(c *conn) {
	if c.client != nil {
		c.let = true
		c.client.sessions++
		c.client.failures = 0
	}
}

// leave counts a connection that has ended. One for which there never was a reply has failed.
func (l *limiter) leave(c *conn, now time.Time) {
	l.conns--
	if c.client == nil {
		return
	}
	if c.client.conns--; c.client.conns == 0 {
		l.rest(c.client)
	}
	switch {
	case c.let:
		c.client.sessions--
	case !c.decided && c.lane.limit > 0:
		l.fail(c, now)
	}
}

// isOverdue tells whether a connection has had its time for the handshake. Without a client it has
// no address (IPC, whose replies a Gate is told of), or one that is exempt.
func (l *limiter) isOverdue(c *conn, now time.Time) bool {
	return l.Deadline > 0 && (c.client != nil || !c.origin.client.IsValid()) && !c.decided &&
		c.lane.limit > 0 && now.Sub(c.since) >= l.Deadline
}

// home is the address to which limits apply: an IPv4 address, or a /64 of IPv6.
func home(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // no error: the family has so many bits
	return prefix
}
