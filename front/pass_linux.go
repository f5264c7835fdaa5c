package front

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

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
