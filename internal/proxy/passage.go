package proxy

import (
	"errors"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"
)

// passage carries messages one way, from one socket to another, one at a time. While the receiving
// socket takes nothing, one message waits here and no other is read: the senders have to wait in
// turn, and no queue grows without bound.
//
// libzmq's own proxy is faster. But it blocks for ever when the receiving socket takes nothing, and
// it loses a message when a signal comes at the wrong moment.
type passage struct {
	from, to *zmq4.Socket
	pending  [][]byte // the message that to has not taken; nil: none
	paused   bool     // no more messages are read
	stuck    bool     // to said that it was ready and took nothing: XPUB always says that
	count    uint64   // of the messages passed on
}

// passBurst is how many messages go one way before it is the other way's turn.
const passBurst = 100

// stuckPause is how long a stuck passage waits before it tries again: poll cannot tell when its
// socket is ready.
const stuckPause = 2 * time.Millisecond

// pass passes messages on until there are none, until to takes no more, or until the burst ends.
// ready is what poll said of to.
func (p *passage) pass(ready bool) error {
	if p.pending != nil && !ready && !p.stuck {
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
			p.stuck = ready && p.count == before
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

// receive takes a whole message. If there is none it returns EAGAIN at once.
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
		// The frames of a message arrive together: this does not wait.
		if frame, err = socket.RecvBytes(0); err != nil {
			return nil, err
		}
		message = append(message, frame)
	}
}

// send sends a whole message. After EAGAIN libzmq has taken none of it.
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
		// The connection is gone, and the earlier frames with it. libzmq drops the other frames
		// as well, if it gets them.
		first = err
	}
	return first
}

// isAgain tells whether an operation would have had to wait.
func isAgain(err error) bool { return errors.Is(err, zmq4.Errno(syscall.EAGAIN)) }

// interest is what a passage waits for on each socket. A nil passage waits for nothing.
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
