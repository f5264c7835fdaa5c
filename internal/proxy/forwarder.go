package proxy

import (
	"time"

	"github.com/pebbe/zmq4"
)

// forwarder is the loop of a frontend: it owns the sockets and others wake it.
type forwarder struct {
	front, back, wakeup *zmq4.Socket
	up, down            *passage // to the service, and to the clients; down may be nil: nothing goes that way
	replies             bool     // see pattern

	closing   bool          // end once all is drained
	drained   chan struct{} // closed: nothing is under way any more, or there is no time left; nil: not draining
	over      bool          // drained is closed
	readUntil time.Time     // while draining: what clients send is taken until then,
	readLimit time.Time     // which is put off while they send, to here at most;
	deadline  time.Time     // and what is under way is waited for until then
}

func newForwarder(kind pattern, front, back, wakeup *zmq4.Socket) *forwarder {
	f := &forwarder{front: front, back: back, wakeup: wakeup, up: &passage{from: front, to: back}, replies: kind.replies}
	if kind.down {
		f.down = &passage{from: back, to: front}
	}
	return f
}

// run passes messages on until it is drained and closing, or something fails; woken is called when
// somebody has woken it.
func (f *forwarder) run(woken func()) error {
	poller := zmq4.NewPoller()
	front, back := poller.Add(f.front, 0), poller.Add(f.back, 0)
	poller.Add(f.wakeup, zmq4.POLLIN)
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
			case f.wakeup:
				takeWakeups(f.wakeup)
				woken()
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

// timeout is how long to wait for sockets: for ever, unless something is to be done all the same.
// Less than a millisecond would be no time at all.
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

// drain begins the end: what clients have sent is passed on, for half of the time that there is,
// and replies are waited for. It returns a channel that is closed when that is over. The endpoint
// stays bound: to unbind it would cut off the clients that wait for their replies.
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

// DrainQuiet without a message from the clients says that they have all been read: those that are
// on the way are with libzmq's threads.
const DrainQuiet = 50 * time.Millisecond

func (f *forwarder) readOn(now time.Time) {
	f.readUntil = now.Add(DrainQuiet)
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

// takeWakeups takes all wake-ups at once.
func takeWakeups(socket *zmq4.Socket) {
	for {
		if _, err := socket.RecvBytes(zmq4.DONTWAIT); err != nil {
			return
		}
	}
}
