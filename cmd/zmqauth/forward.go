package main

import (
	"errors"
	"syscall"
	"time"

	"github.com/pebbe/zmq4"
)

// passage passes messages on from one socket to another, one at a time: what the other does not take waits here, and
// nothing more is read, so that whoever sends has to wait in turn and no queue grows without bound. libzmq's own proxy is
// faster, but it blocks for good where the other end takes nothing, and it loses a message when a signal comes at the
// wrong moment.
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

// pass passes on what is there and what is taken, up to a burst. willing is that to has said that it takes something.
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

// forwarder is the loop of a frontend: it owns the sockets and lets others interrupt it by the bell.
type forwarder struct {
	front, back, bell *zmq4.Socket
	up, down          *passage // to the service, and to the clients; down may be nil: nothing goes that way
	replies           bool     // see pattern

	closing   bool          // end once all is drained
	drained   chan struct{} // closed: nothing is under way any more, or there is no time left; nil: not draining
	over      bool          // drained is closed
	readUntil time.Time     // while draining: what clients send is taken until then,
	readLimit time.Time     // which is put off while they send, to here at most;
	deadline  time.Time     // and what is under way is waited for until then
}

func newForwarder(kind pattern, front, back, bell *zmq4.Socket) *forwarder {
	f := &forwarder{front: front, back: back, bell: bell, up: &passage{from: front, to: back}, replies: kind.replies}
	if kind.down {
		f.down = &passage{from: back, to: front}
	}
	return f
}

// run passes messages on until it is drained and closing, or something fails; answer is called when the bell has rung.
func (f *forwarder) run(answer func()) error {
	poller := zmq4.NewPoller()
	front, back := poller.Add(f.front, 0), poller.Add(f.back, 0)
	poller.Add(f.bell, zmq4.POLLIN)
	for {
		f.look(time.Now())
		if f.over && f.closing {
			return nil
		}
		fromFront, toBack := f.up.interest()
		fromBack, toFront := f.down.interest()
		_, _ = poller.Update(front, fromFront|toFront) // an error: no such id
		_, _ = poller.Update(back, fromBack|toBack)
		ready, err := poller.Poll(f.timeout(time.Now()))
		if err != nil {
			return err
		}
		frontTakes, backTakes := false, false
		for _, r := range ready {
			switch r.Socket {
			case f.front:
				frontTakes = r.Events&zmq4.POLLOUT != 0
			case f.back:
				backTakes = r.Events&zmq4.POLLOUT != 0
			case f.bell:
				silence(f.bell)
				answer()
			}
		}
		if err := f.pass(frontTakes, backTakes); err != nil {
			return err
		}
	}
}

// pass passes on what there is, both ways.
func (f *forwarder) pass(frontTakes, backTakes bool) error {
	before := f.up.count
	if err := f.up.pass(backTakes); err != nil {
		return err
	}
	if f.drained != nil && f.up.count > before {
		f.readOn(time.Now())
	}
	if f.down == nil {
		return nil
	}
	return f.down.pass(frontTakes)
}

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

// timeout is how long to wait for sockets: for ever, unless something is to be done all the same. Less than a millisecond
// would be no time at all.
func (f *forwarder) timeout(now time.Time) time.Duration {
	timeout := time.Duration(-1)
	if f.drained != nil && !f.over {
		next := f.deadline
		if !f.up.paused {
			next = f.readUntil
		}
		timeout = max(next.Sub(now), time.Millisecond)
	}
	if (f.up.isStuck() || f.down.isStuck()) && (timeout < 0 || timeout > stuckPause) {
		timeout = stuckPause
	}
	return timeout
}

func (p *passage) isStuck() bool { return p != nil && p.stuck }

// drain begins the end: what clients have sent is passed on, for half of the time that there is, and replies are waited for.
// It returns a channel that is closed when that is over. The endpoint stays bound: to unbind it would cut off the clients
// that wait for their replies.
func (f *forwarder) drain(linger time.Duration) <-chan struct{} {
	if f.drained == nil {
		now := time.Now()
		f.drained, f.readLimit, f.deadline = make(chan struct{}), now.Add(linger/2), now.Add(linger)
		f.readOn(now)
		if !f.replies && f.down != nil { // subscriptions, or news that others have to publish
			f.down.paused = true
		}
	}
	return f.drained
}

// resume undoes drain.
func (f *forwarder) resume() {
	f.drained, f.over = nil, false
	f.up.paused = false
	if f.down != nil {
		f.down.paused = false
	}
}

// drainQuiet without a message from the clients says that they have all been read: those that are on the way are with libzmq's
// threads.
const drainQuiet = 50 * time.Millisecond

func (f *forwarder) readOn(now time.Time) {
	f.readUntil = now.Add(drainQuiet)
	if f.readUntil.After(f.readLimit) {
		f.readUntil = f.readLimit
	}
}

// look looks whether draining is over.
func (f *forwarder) look(now time.Time) {
	if f.drained == nil || f.over {
		return
	}
	if !now.Before(f.readUntil) {
		f.up.paused = true
	}
	if !now.Before(f.deadline) || f.up.paused && f.undelivered() == 0 {
		f.up.paused, f.over = true, true
		close(f.drained)
	}
}

// undelivered is how many messages nobody has taken, or are not answered.
func (f *forwarder) undelivered() uint64 {
	var count uint64
	for _, p := range []*passage{f.up, f.down} {
		if p != nil && p.pending != nil {
			count++
		}
	}
	if f.replies && f.up.count > f.down.count {
		count += f.up.count - f.down.count
	}
	return count
}

// silence takes all rings of a bell at once.
func silence(bell *zmq4.Socket) {
	for {
		if _, err := bell.RecvBytes(zmq4.DONTWAIT); err != nil {
			return
		}
	}
}
