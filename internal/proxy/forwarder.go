package proxy

import (
	"time"

	"github.com/pebbe/zmq4"
)

// forwarder is the loop of a frontend. It owns the sockets. Others wake it by a message to wakeup.
type forwarder struct {
	front, back, wakeup *zmq4.Socket

	up      *passage // from the clients to the service
	down    *passage // from the service to the clients; nil: the pattern has none
	replies bool     // see pattern
	closing bool     // the loop ends when the drain is over

	drain drain
}

func newForwarder(kind pattern, front, back, wakeup *zmq4.Socket) *forwarder {
	f := &forwarder{front: front, back: back, wakeup: wakeup, replies: kind.replies}
	f.up = &passage{from: front, to: back}
	if kind.down {
		f.down = &passage{from: back, to: front}
	}
	return f
}

// run passes messages on until the forwarder is closing and its drain is over, or until something
// fails. It calls woken after each wake-up.
func (f *forwarder) run(woken func()) error {
	poller := zmq4.NewPoller()
	front, back := poller.Add(f.front, 0), poller.Add(f.back, 0)
	poller.Add(f.wakeup, zmq4.POLLIN)
	for {
		f.advanceDrain(time.Now())
		if f.drain.over && f.closing {
			return nil
		}
		fromFront, toBack := f.up.interest()
		fromBack, toFront := f.down.interest()
		_, _ = poller.Update(front, fromFront|toFront) // the only error is an unknown id
		_, _ = poller.Update(back, fromBack|toBack)
		ready, err := poller.Poll(f.timeout(time.Now()))
		if err != nil {
			return err
		}
		frontReady, backReady := false, false
		for _, r := range ready {
			switch r.Socket {
			case f.front:
				frontReady = r.Events&zmq4.POLLOUT != 0
			case f.back:
				backReady = r.Events&zmq4.POLLOUT != 0
			case f.wakeup:
				takeWakeups(f.wakeup)
				woken()
			}
		}
		if err := f.pass(frontReady, backReady); err != nil {
			return err
		}
	}
}

// pass passes messages on in both directions. The arguments tell whether the sockets are ready to
// send.
func (f *forwarder) pass(frontReady, backReady bool) error {
	before := f.up.count
	if err := f.up.pass(backReady); err != nil {
		return err
	}
	if f.drain.done != nil && f.up.count > before {
		f.drain.readOn(time.Now())
	}
	if f.down == nil {
		return nil
	}
	return f.down.pass(frontReady)
}

// timeout is how long poll may wait. Negative means for ever. A positive timeout is at least a
// millisecond, because poll counts in milliseconds and would not wait at all for less.
func (f *forwarder) timeout(now time.Time) time.Duration {
	timeout := time.Duration(-1)
	if f.drain.done != nil && !f.drain.over {
		next := f.drain.deadline
		if !f.up.paused {
			next = f.drain.readUntil
		}
		timeout = max(next.Sub(now), time.Millisecond)
	}
	if (f.up.isStuck() || f.down.isStuck()) && (timeout < 0 || timeout > stuckPause) {
		timeout = stuckPause
	}
	return timeout
}

// takeWakeups takes all waiting wake-ups: one round of the loop answers them all.
func takeWakeups(socket *zmq4.Socket) {
	for {
		if _, err := socket.RecvBytes(zmq4.DONTWAIT); err != nil {
			return
		}
	}
}
