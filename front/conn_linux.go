package front

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/relay"
	"github.com/zmqauth/zmqauth/internal/session"
)

const reasonTooFewDescriptors = session.TooFewDescriptors

// conn is a client, and the connection to the socket that was made for it. Bytes that one end
// cannot take yet stay in the kernel's buffer of the other, but for some that were on their way.
type conn struct {
	loop    *loop
	client  end
	server  end
	state   state
	since   time.Time
	from    relay.Client
	visitor *session.Visitor // nil: a balancer's client, whose address is not known yet
	dialled netip.Addr       // invalid: not yet
	ending  time.Time        // when the session or the socket's end was over; zero: they are not
}

// state is what a conn waits for.
type state int

const (
	heading  state = iota // the header of a balancer
	greeting              // the client's greeting
	dialling              // the socket
	relaying              // anything
	closed
)

// welcome takes a connection that was accepted, or refuses it.
func (l *loop) welcome(fd int, name unix.Sockaddr) {
	from := relay.Client{Domain: l.engine.socket.Domain}
	if addr, ok := addrPortOf(name); ok {
		from.TCP, from.Address = addr, addr.Addr().WithZone("").String()
	} else {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			reset(fd)
			return
		}
		from.Peer = fmt.Sprintf("%d:%d:%d", cred.Uid, cred.Gid, cred.Pid)
		from.Address = "localhost:" + from.Peer
	}
	c := &conn{loop: l, state: greeting, from: from, since: time.Now()}
	c.client, c.server = end{conn: c, fd: fd, ready: true}, end{conn: c, fd: -1}
	if l.engine.rules.Load().isBalancer(from.TCP.Addr()) {
		c.state = heading
	} else if !c.admit() {
		l.doom(fd)
		return
	}
	l.engine.connected.Add(1)
	l.young[c] = struct{}{}
	if session.IsNearLimit(fd) || setReset(fd, false) != nil || l.watch(&c.client) != nil {
		c.fail(reasonTooFewDescriptors)
	}
}

// admit judges the client's address, and asks the limits.
func (c *conn) admit() bool {
	e := c.loop.engine
	if !e.a.AddressAllowed(c.from.Domain, c.from.Address) {
		e.refusals.add(ReasonAddressDenied, c.from.Address)
		if c.state != heading { // of a balancer's connection the kernel sees the balancer's address
			e.shed.note(c.from.TCP.Addr(), c.since)
		}
		return false
	}
	visitor, reason := e.gate.Admit(c.from.TCP, c.since)
	if reason != "" {
		e.refusals.add(reason, c.from.Address)
		return false
	}
	c.visitor = visitor
	return true
}

// handle does what an event of one end makes possible.
func (c *conn) handle(e *end, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		e.full = false
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		e.hungUp, e.ready = true, true
	}
	if events&unix.EPOLLIN != 0 {
		e.ready = true
	}
	c.advance()
}

// advance goes on as far as it can.
func (c *conn) advance() {
	if c.state == heading && !c.readHeader() {
		return
	}
	if c.state == greeting && !c.readGreeting() {
		return
	}
	if c.state == dialling && !c.finishDialling() {
		return
	}
	if c.state == relaying {
		c.pass(&c.client, &c.server)
	}
	if c.state == relaying {
		c.pass(&c.server, &c.client)
	}
	if c.server.hungUp {
		c.expire()
	}
}

// expire gives the client endTime for what is left.
func (c *conn) expire() {
	if c.state == relaying && c.ending.IsZero() {
		c.ending = time.Now()
		c.loop.young[c] = struct{}{}
	}
}

// readHeader reads the header of a balancer. It returns true once the client is known.
func (c *conn) readHeader() bool {
	if !c.loop.engine.rules.Load().isBalancer(c.from.TCP.Addr()) {
		c.fail(ReasonNoHeader) // it is none any more, and must not say who somebody is
		return false
	}
	bytes, ok := c.peek(maxHeader)
	if !ok {
		return false
	}
	size, from, err := parseHeader(bytes)
	switch {
	case errors.Is(err, errIncomplete) && !c.client.hungUp:
		return false
	case err != nil:
		c.fail(ReasonNoHeader)
		return false
	}
	if !c.discard(&c.client, size) {
		c.abort()
		return false
	}
	if from.IsValid() {
		c.from.TCP, c.from.Address = from, from.Addr().WithZone("").String()
	}
	if !c.admit() {
		c.abort()
		return false
	}
	c.state = greeting
	return true
}

// signatureSize is the size of the beginning of a greeting (RFC 37). Versions before ZMTP 2 begin
// otherwise; libzmq refuses them where it asks a ZAP handler.
const signatureSize = 10

// readGreeting waits for the beginning of the greeting, and dials the socket then.
func (c *conn) readGreeting() bool {
	bytes, ok := c.peek(signatureSize)
	switch {
	case !ok:
		return false
	case len(bytes) > 0 && bytes[0] != 0xff, len(bytes) == signatureSize && bytes[9]&1 == 0:
		c.fail(ReasonNotZMTP)
		return false
	case len(bytes) < signatureSize && c.client.hungUp:
		c.fail(ReasonNotZMTP)
		return false
	case len(bytes) < signatureSize:
		return false
	}
	return c.dial()
}

// peek looks at the first bytes that the client has sent, at most so many. It returns false if
// there are none; the client may have gone.
func (c *conn) peek(size int) ([]byte, bool) {
	n, err := receive(c.client.fd, c.loop.buffer[:size], unix.MSG_PEEK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil, false
	case err != nil, n == 0:
		c.abort()
		return nil, false
	}
	return c.loop.buffer[:n], true
}

// dialTries is how many addresses are tried.
const dialTries = 8

func (c *conn) dial() bool {
	e := c.loop.engine
	c.from.Port = uint16(e.fence.from)
	c.from.Decided = c.decided
	c.from.Ended = func() { c.loop.post(c.expire) }
	for range dialTries {
		addr, ok := e.socket.Add(&c.from)
		if !ok {
			break
		}
		fd, err := e.fence.dial(addr)
		if err != nil {
			e.socket.Remove(addr)
			if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) {
				continue
			}
			if isShortage(err) {
				c.fail(reasonTooFewDescriptors)
				return false
			}
			break
		}
		c.dialled, c.server.fd, c.state = addr, fd, dialling
		if c.loop.watch(&c.server) != nil {
			c.fail(reasonTooFewDescriptors)
			return false
		}
		return true
	}
	c.fail(ReasonUnreachable)
	return false
}

// finishDialling returns true once the socket is reached.
func (c *conn) finishDialling() bool {
	if _, err := unix.Getpeername(c.server.fd); err == nil {
		c.state = relaying
		c.loop.engine.relayed.Add(1)
		return true
	}
	code, err := unix.GetsockoptInt(c.server.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code != 0 {
		c.fail(ReasonUnreachable)
	}
	return false
}

// decided is told of the replies to the client's request, by the Authenticator.
func (c *conn) decided(status int) {
	const allowed, denied = 200, 400
	c.visitor.Decide(status == allowed, status == denied, time.Now())
}

// endTime is how long a client may take to read the last bytes and to close its end, once its
// session or the socket's end is over.
const endTime = 5 * time.Second

// checkDeadlines ends the connection if the client takes too long.
func (c *conn) checkDeadlines(now time.Time) {
	switch {
	case !c.ending.IsZero():
		if now.Sub(c.ending) >= endTime {
			c.abort()
		}
	case c.visitor != nil && c.visitor.IsDecided():
		delete(c.loop.young, c)
	case c.state < relaying && now.Sub(c.since) >= c.loop.engine.rules.Load().greeting:
		c.fail(ReasonNoGreeting)
	case c.visitor != nil && c.visitor.IsOverdue(now):
		c.fail(session.TooSlow)
	}
}

// fail ends a connection that could not be relayed.
func (c *conn) fail(reason string) {
	c.loop.engine.refusals.add(reason, c.from.Address)
	c.abort()
}

// abort ends both ends at once.
func (c *conn) abort() { c.leave(reset) }

// close ends both ends, whose bytes have all been passed on.
func (c *conn) close() { c.leave(func(fd int) { _ = unix.Close(fd) }) }

func (c *conn) leave(end func(fd int)) {
	if c.state == closed {
		return
	}
	l := c.loop
	strange := c.state < dialling || c.state == relaying // not our own fault
	c.state = closed
	for _, fd := range []int{c.client.fd, c.server.fd} {
		if fd >= 0 {
			delete(l.ends, int32(fd))
			end(fd)
		}
	}
	delete(l.young, c)
	if c.dialled.IsValid() {
		l.engine.socket.Remove(c.dialled)
	}
	if c.visitor != nil {
		c.visitor.Leave(strange, time.Now())
	}
	if l.engine.connected.Add(-1) == 0 {
		l.engine.checkDrained()
	}
}
