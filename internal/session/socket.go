package session

import (
	"time"

	"github.com/pebbe/zmq4"
)

// Socket is a guarded socket: the connections that its monitor has told of.
type Socket struct {
	table     *Table
	domain    string
	mechanism string
	limits    *limiter
	refused   func(Refusal)

	// Guarded by the table's mutex.
	conns map[int]*conn // by descriptor
}

// conn is a connection of a guarded socket.
type conn struct {
	socket  *Socket
	handle  Handle
	origin  origin
	lane    *lane
	since   time.Time
	decided bool    // a reply has gone out for it
	session *entry  // that it carries; nil: none, or it is one of a group
	client  *client // what the limits know of its address; nil: they are not for it
	failed  bool    // as counted by the limits, like let
	let     bool    // in
}

// Guard adds a socket: its ZAP domain and its mechanism, as ZAP names it. refused is told of each
// connection that the limits end; it must not block. nil limits are none.
func (t *Table) Guard(domain, mechanism string, limits *Limits, refused func(Refusal)) *Socket {
	s := &Socket{table: t, domain: domain, mechanism: mechanism, refused: refused,
		conns: make(map[int]*conn)}
	if limits != nil {
		s.limits = newLimiter(*limits, refused)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sockets[s] = struct{}{}
	return s
}

// Guards tells whether a socket of a domain is guarded.
func (t *Table) Guards(domain string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.sockets {
		if s.domain == domain {
			return true
		}
	}
	return false
}

// Tell passes on an event of the socket's monitor.
func (s *Socket) Tell(event zmq4.Event, fd int) {
	opened := event == zmq4.EVENT_ACCEPTED || event == zmq4.EVENT_CONNECTED
	if !opened && event != zmq4.EVENT_DISCONNECTED {
		return
	}
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if before := s.conns[fd]; before != nil {
		t.forget(before) // it has ended, or its end had no event
	}
	if opened {
		s.open(fd, time.Now())
	}
	t.stir()
}

// open adds a connection, unless the limits end it. The caller holds t.mu.
func (s *Socket) open(fd int, now time.Time) {
	handle, err := handleOf(fd)
	if err != nil {
		return // it has ended already
	}
	from, err := originOf(fd)
	if err != nil {
		return
	}
	c := &conn{socket: s, handle: handle, origin: from, since: now}
	if isNearLimit(fd) {
		s.refused(Refusal{Address: from.address, Reason: TooFewDescriptors})
		_ = handle.shutdown()
		return
	}
	if s.limits != nil && !s.limits.admit(c, now) {
		_ = handle.cut()
		return
	}
	s.conns[fd] = c
	c.lane = s.table.laneOf(laneKey{s.domain, s.mechanism, from.address})
	c.lane.conns[c] = struct{}{}
}

// Close forgets the socket. Its sessions have ended: libzmq has closed it.
func (s *Socket) Close() {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range s.conns {
		t.forget(c)
	}
	delete(t.sockets, s)
	t.stir()
}

// forget takes a connection out, and ends its session. The caller holds t.mu.
func (t *Table) forget(c *conn) {
	delete(c.socket.conns, c.handle.fd)
	if c.socket.limits != nil {
		c.socket.limits.leave(c, time.Now())
	}
	if c.session != nil {
		t.end(c.session)
	}
	t.leave(c.lane, c)
}

// sweepInterval is the time between two looks for connections that have ended without an event:
// those of an endpoint that was unbound.
const sweepInterval = time.Second

// sweep forgets the connections whose descriptors are closed, and ends those that take too long.
// The caller holds t.mu.
func (t *Table) sweep(now time.Time) {
	for s := range t.sockets {
		for _, c := range s.conns {
			switch {
			case !c.handle.isOpen():
				t.forget(c)
			case s.limits != nil && s.limits.isOverdue(c, now):
				_ = c.handle.cut()
			}
		}
	}
}

// Refusal says why the limits have ended a connection.
type Refusal struct {
	Address string // as ZAP has it
	Reason  string
}

// hasGrown tells whether more than limit bytes were written to a connection.
func (c *conn) hasGrown(limit uint64) bool {
	written, err := c.handle.written()
	return err == nil && written > limit && c.handle.isOpen()
}
