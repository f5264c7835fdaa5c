package front

import (
	"bytes"
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

// end is one of the two ends of a conn.
type end struct {
	conn   *conn
	fd     int   // -1: none
	number int32 // tells it from others that had the same descriptor
	ready  bool  // there may be something to read
	hungUp bool  // its peer sends no more
	eof    bool  // all is read that its peer has sent
	full   bool  // it takes no more now

	// left is what was read for it and it did not take, at most shareSize. From then on nothing is
	// read for it that it may not take, until it has caught up: slow.
	left []byte
	slow bool
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

// pass passes on what one end has received, as much as the other takes.
func (c *conn) pass(from, to *end) {
	size := shareSize
	for range turns {
		if to.full || !c.sendLeft(from, to) || from.eof || !from.ready {
			return
		}
		if to.slow {
			size = bufferSize
		}
		n, err := c.move(from, to, size)
		switch {
		case errors.Is(err, unix.EAGAIN):
			from.ready = false
			return
		case err != nil:
			c.abort()
			return
		case n == 0:
			c.endDirection(from, to)
			return
		case n < size:
			to.slow = to.slow && to.full
			if !from.hungUp { // that was all; there will be an event when there is more
				from.ready = to.full && to.left == nil // it was looked at, and stays
				return
			}
		}
		size = bufferSize
	}
	c.loop.unfair = append(c.loop.unfair, c)
}

// move reads bytes from one end and writes them to the other. It returns how many were read; 0: all
// that the one has sent was. Many are looked at first, and stay with the kernel where the other
// does not take them. Few are read at once, which saves a call for each.
func (c *conn) move(from, to *end, size int) (n int, err error) {
	flags := 0
	if size > shareSize {
		flags = unix.MSG_PEEK
	}
	buffer := c.loop.buffer[:size]
	if n, err = receive(from.fd, buffer, flags); err != nil || n == 0 {
		return n, err
	}
	written, err := send(to.fd, buffer[:n])
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return n, err
	}
	c.count(from, written)
	to.full = written < n
	switch {
	case flags == 0 && to.full:
		to.left, to.slow = bytes.Clone(buffer[written:n]), true
	case flags != 0 && !c.discard(from, written):
		return n, unix.EPIPE
	}
	return n, nil
}

// sendLeft sends what an end did not take before. It returns true if nothing is left.
func (c *conn) sendLeft(from, to *end) bool {
	if len(to.left) == 0 {
		return true
	}
	written, err := send(to.fd, to.left)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.abort()
		return false
	}
	c.count(from, written)
	if to.left = to.left[written:]; len(to.left) > 0 {
		to.full = true
		return false
	}
	to.left = nil
	return true
}

// discard takes bytes out of the kernel's buffer that have been passed on.
func (c *conn) discard(from *end, size int) bool {
	flags := unix.MSG_TRUNC // of TCP nothing is copied then (tcp(7))
	if c.isIPC() && from == &c.client {
		flags = 0
	}
	for size > 0 {
		n, err := receive(from.fd, c.loop.buffer[:size], flags)
		if err != nil || n == 0 {
			return false
		}
		size -= n
	}
	return true
}

func (c *conn) isIPC() bool { return c.from.Peer != "" }

// receive is recv(2), which never waits here.
func receive(fd int, buffer []byte, flags int) (n int, err error) {
	for {
		if flags == 0 {
			n, err = unix.Read(fd, buffer)
		} else {
			n, _, err = unix.Recvfrom(fd, buffer, flags)
		}
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// send is send(2), which never waits here, and makes no signal. It returns how many bytes were
// taken, after an error none.
func send(fd int, bytes []byte) (n int, err error) {
	for {
		n, err = unix.SendmsgN(fd, bytes, nil, nil, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

func (c *conn) count(from *end, size int) {
	if from == &c.client {
		c.loop.engine.received.Add(int64(size))
	} else {
		c.loop.engine.sent.Add(int64(size))
	}
}

// endDirection passes on that one end sends no more.
func (c *conn) endDirection(from, to *end) {
	from.eof = true
	if to.eof {
		c.close()
		return
	}
	if err := unix.Shutdown(to.fd, unix.SHUT_WR); err != nil {
		c.abort()
	}
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
