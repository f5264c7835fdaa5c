package proxy

import (
	"errors"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"
)

// passage passes messages on from one socket to another, one at a time: what the other does not
// take waits here, and nothing more is read, so that whoever sends has to wait in turn and no queue
// grows without bound. libzmq's own proxy is faster, but it blocks for good where the other end
// takes nothing, and it loses a message when a signal comes at the wrong moment.
type passage struct {
	from, to *zmq4.Socket
	pending  [][]byte // what to has not taken; nil: nothing
	paused   bool     // nothing more is read
	stuck    bool     // to has taken nothing though it said that it would: XPUB always does
	count    uint64   // of the messages passed on
}

// passBurst is how many messages go one way before the other has its turn.
const passBurst = 100

// stuckPause is how long a socket that does not tell when it is ready is left alone.
const stuckPause = 2 * time.Millisecond

// pass passes on what is there and what is taken, up to a burst. willing is that to has said that
// it takes something.
func (p *passage) pass(willing bool) error {
	if p.pending != nil && !willing && !p.stuck {
		return nil
	}
	before := p.count
	p.stuck = false
	for range passBurst {
		if p.pending == nil {
			if p.paused {
				return nil
			}
			message, err := receive(p.from)
			if isAgain(err) {
				return nil
			}
			if err != nil {
				return err
			}
			p.pending = message
		}
		err := send(p.to, p.pending)
		if isAgain(err) {
			p.stuck = willing && p.count == before
			return nil
		}
		if err != nil {
			return err
		}
		p.pending = nil
		p.count++
	}
	return nil
}

// receive takes a whole message without waiting for one.
func receive(socket *zmq4.Socket) ([][]byte, error) {
	frame, err := socket.RecvBytes(zmq4.DONTWAIT)
	if err != nil {
		return nil, err
	}
	message := [][]byte{frame}
	for {
		more, err := socket.GetRcvmore()
		if err != nil || !more {
			return message, err
		}
		if frame, err = socket.RecvBytes(0); err != nil { // the frames of a message come together
			return nil, err
		}
		message = append(message, frame)
	}
}

// send hands a whole message over, or EAGAIN tells that nothing of it has been taken.
func send(socket *zmq4.Socket, message [][]byte) (first error) {
	for i, frame := range message {
		flags := zmq4.DONTWAIT
		if i+1 < len(message) {
			flags |= zmq4.SNDMORE
		}
		_, err := socket.SendBytes(frame, flags)
		if err == nil {
			continue
		}
		if i == 0 || !isAgain(err) {
			return err
		}
		first = err // the connection has gone, and with it the frames before: libzmq drops the rest too
	}
	return first
}

func isAgain(err error) bool { return errors.Is(err, zmq4.Errno(syscall.EAGAIN)) }

// interest is what a passage waits for.
func (p *passage) interest() (from, to zmq4.State) {
	switch {
	case p == nil || p.stuck || p.pending == nil && p.paused:
		return 0, 0
	case p.pending != nil:
		return 0, zmq4.POLLOUT
	default:
		return zmq4.POLLIN, 0
	}
}

func (p *passage) isStuck() bool { return p != nil && p.stuck }
