package session

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pebbe/zmq4"
)

// Socket is a guarded socket: the connections that its monitor has told of.
type Socket struct {
	table     *Table
	domain    string
	mechanism string

	// Guarded by the table's mutex.
	limits *limiter       // nil: there are none
	conns  map[int]*conn  // by descriptor
	ended  map[int]Handle // that may have had a reply, by descriptor, until it is used again

	timer  *time.Timer   // of Rest
	called chan struct{} // has a token where Rest is to end

	// The reader's own.
	reading time.Time // when it told of the first event since the last Rest; zero: of none
	emptied time.Time // the same of the time before: what it tells now has happened later
}

// conn is a connection of a guarded socket.
type conn struct {
	socket    *Socket
	handle    Handle
	origin    origin
	lane      *lane
	since     time.Time
	decided   bool    // a reply has gone out for it
	left      bool    // the lane
	overtaken int     // how often another one was decided that has come after it
	session   *entry  // that it carries; nil: none, or it is one of a group
	client    *client // what the limits know of its address; nil: they are not for it
	failed    bool    // as counted by the limits, like let
	let       bool    // in
}

// Guard adds a socket: its ZAP domain and its mechanism, as ZAP names it. nil limits are none.
func (t *Table) Guard(domain, mechanism string, limits *Limits) *Socket {
	s := &Socket{table: t, domain: domain, mechanism: mechanism,
		conns: make(map[int]*conn), ended: make(map[int]Handle),
		timer: time.NewTimer(gatherTime), called: make(chan struct{}, 1)}
	if limits != nil {
		s.limits = newLimiter(*limits)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sockets[s] = struct{}{}
	t.domains[domain]++
	return s
}

// Guards tells whether a socket of a domain is guarded.
func (t *Table) Guards(domain string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.domains[domain] > 0
}

// Tell passes on an event of the socket's monitor, about an endpoint that it is bound or connected
// to.
func (s *Socket) Tell(event zmq4.Event, fd int, endpoint string) {
	if s.reading.IsZero() {
		s.reading = time.Now()
	}
	const decided = zmq4.EVENT_HANDSHAKE_SUCCEEDED | zmq4.EVENT_HANDSHAKE_FAILED_AUTH |
		zmq4.EVENT_HANDSHAKE_FAILED_PROTOCOL
	opened := event == zmq4.EVENT_ACCEPTED || event == zmq4.EVENT_CONNECTED
	if !opened && event != zmq4.EVENT_DISCONNECTED && event&decided == 0 {
		return
	}
	t := s.table
	if event&decided != 0 {
		if t.waiting.Load() > 0 {
			s.lookNow()
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := s.conns[fd]
	switch {
	case before == nil:
	case opened && before.handle.isOpen():
		return // it was taken for the one before it, whose beginning or end was told of late
	case !opened && !before.handle.hasEnded():
		// This is the end of the one before it, or libzmq is about to close it.
		t.closing[before] = time.Now()
		t.stirBy(time.Now().Add(firstLook))
	default:
		t.forget(before) // it has ended, or its end had no event
	}
	if opened {
		if s.limits != nil {
			t.lookAtClosing(time.Now()) // who has gone does not count
		}
		s.open(fd, portOf(endpoint), time.Now())
	}
}

// gatherTime is how long events gather. A look at a reply's effect is not earlier.
const gatherTime = firstLook

// Rest lets events gather: to be woken for each of them costs more than to read it. It ends when a
// reply has to wait, perhaps for what they tell. Limits have to see each connection while it is
// there, so there is no rest then. The socket's reader calls it when it has told of all events.
func (s *Socket) Rest() {
	s.emptied, s.reading = s.reading, time.Time{}
	s.table.mu.Lock()
	limits := s.limits
	s.table.mu.Unlock()
	if limits != nil || s.table.waiting.Load() > 0 {
		return
	}
	s.timer.Reset(gatherTime)
	select {
	case <-s.timer.C:
	case <-s.called:
	}
}

// portOf is the port of an endpoint of TCP; 0: it has none.
func portOf(endpoint string) int {
	address, isTCP := strings.CutPrefix(endpoint, "tcp://")
	port, err := strconv.ParseUint(address[strings.LastIndexByte(address, ':')+1:], 10, 16)
	if !isTCP || err != nil {
		return 0
	}
	return int(port)
}

// lookNow looks at the lanes in which replies wait for the one before them: its effect may be
// there. An event does not say which connection it is about.
func (s *Socket) lookNow() {
	var send []*Reply
	t := s.table
	t.mu.Lock()
	for l := range t.busy {
		if len(l.queue) > 0 && l.key.domain == s.domain && l.key.mechanism == s.mechanism {
			now := time.Now()
			l.pause, l.soon = firstPause, now
			replies, next := t.look(l, now)
			send = append(send, replies...)
			if !next.IsZero() {
				t.stirBy(next)
			}
		}
	}
	t.mu.Unlock()
	for _, r := range send {
		r.Send()
	}
}

// open adds a connection, unless the limits end it. The event may be late: the connection may have
// ended, and something else may have its descriptor. What has another port than the endpoint is
// somebody else's. The caller holds t.mu.
func (s *Socket) open(fd, port int, now time.Time) {
	handle, err := handleOf(fd)
	if err != nil || port != 0 && !hasPort(fd, port) {
		return // it has ended already
	}
	if s.ended[fd] == handle {
		// Events were so late that it was taken for the one before it, and so was its end. Its reply is
		// out, and its session over.
		_ = handle.cut()
		return
	}
	delete(s.ended, fd)
	from, err := originOf(fd)
	if err != nil {
		return
	}
	c := &conn{socket: s, handle: handle, origin: from, since: now}
	if isNearLimit(fd) {
		s.table.refuse(from.address, TooFewDescriptors, now)
		_ = handle.shutdown()
		return
	}
	if s.limits != nil {
		if reason := s.limits.admit(c, now); reason != "" {
			s.table.refuse(from.address, reason, now)
			_ = handle.cut()
			return
		}
	}
	s.conns[fd] = c
	c.lane = s.table.laneOf(laneKey{s.domain, s.mechanism, from.address})
	c.lane.conns[c] = struct{}{}
	c.lane.candidates.add(c, len(c.lane.conns))
	if s.isLate(c.lane.key, now) {
		_ = handle.cut()
	}
	if len(c.lane.queue) > 0 {
		s.table.expect(c.lane)
	}
}

// closingTime is how long libzmq may take to close a connection whose end it has told of. Later the
// sweep finds it.
const closingTime = 100 * time.Millisecond

// lookAtClosing forgets the connections whose descriptors are closed by now. It returns when to
// look next; zero: there is nothing to look for. The caller holds t.mu.
func (t *Table) lookAtClosing(now time.Time) (next time.Time) {
	for c, since := range t.closing {
		closed := !c.handle.isOpen()
		if closed && c.socket.conns[c.handle.fd] == c {
			t.forget(c)
		}
		if closed || now.Sub(since) >= closingTime {
			delete(t.closing, c)
		} else {
			next = now.Add(lookInterval)
		}
	}
	return next
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
	if t.domains[s.domain]--; t.domains[s.domain] == 0 {
		delete(t.domains, s.domain)
	}
}

// forget takes a connection out, and ends its session. The caller holds t.mu.
func (t *Table) forget(c *conn) {
	before := len(t.all)
	delete(c.socket.conns, c.handle.fd)
	delete(t.closing, c)
	if !c.decided && c.lane.told > 0 {
		c.lane.told--
		c.failed = true // for the limits: there is nothing more to count
	}
	if c.socket.limits != nil {
		c.socket.limits.leave(c, time.Now())
	}
	if c.session != nil {
		t.end(c.session)
	}
	t.leave(c.lane, c)
	if c.decided || len(t.all) < before { // a session of its group has ended for it
		c.socket.ended[c.handle.fd] = c.handle
	}
}

// sweepInterval is the time between two looks for connections that have ended without an event:
// those of an endpoint that was unbound.
const sweepInterval = time.Second

// sweep forgets the connections whose descriptors are closed, and ends those that take too long.
func (t *Table) sweep(now time.Time) {
	t.trimOld()
	t.mu.Lock()
	t.forgetLate(now)
	var all []*conn
	for s := range t.sockets {
		all = slices.AppendSeq(all, maps.Values(s.conns))
	}
	t.mu.Unlock()
	for _, c := range all {
		if !c.handle.isOpen() {
			t.lose(c)
		} else if c.socket.limits != nil {
			t.hurry(c, now)
		}
	}
}

// lose forgets a connection that has ended, unless an event has said so meanwhile.
func (t *Table) lose(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.socket.conns[c.handle.fd] == c {
		t.forget(c)
	}
}

// hurry ends a connection that takes too long.
func (t *Table) hurry(c *conn, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.socket.conns[c.handle.fd] == c && c.socket.limits.isOverdue(c, now) {
		t.refuse(c.origin.address, TooSlow, now)
		_ = c.handle.cut()
	}
}
