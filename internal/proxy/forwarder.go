package proxy

import (
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
)

// forwarder is the loop of a frontend. It owns the sockets. Others wake it by a message to wakeup.
type forwarder struct {
	pattern
	front  *zmq4.Socket
	wakeup *zmq4.Socket
	pump   *libzmq.Forwarder

	service *service // what is known of it
	owed    owed     // replies

	closing bool // the loop ends when the drain is over
	drain   drain
}

// The sockets that interrupt the pump, as bits of what Run returns.
const (
	wakeupReady = 1 << iota
	serviceReady
	listenerReady
)

// newForwarder makes the loop. The Forwarder it owns is freed by close.
func newForwarder(kind pattern, front, back, wakeup *zmq4.Socket, service *service,
	listener *listener) (*forwarder, error) {
	pump, err := libzmq.NewForwarder(front, back, kind.options)
	if err != nil {
		return nil, err
	}
	f := &forwarder{pattern: kind, front: front, wakeup: wakeup, pump: pump, service: service}
	for _, socket := range []*zmq4.Socket{wakeup, service.events, listener.events} {
		if err := pump.Watch(socket); err != nil {
			pump.Free()
			return nil, err
		}
	}
	return f, nil
}

// tasks are what interrupts the loop, and what is to be done then.
type tasks struct {
	woken    func() // there was a wake-up
	full     func() // the service does not take its subscriptions
	service  func() // the connection to the service has changed
	listener func() // the listener has something to tell
}

// run passes messages on until the forwarder is closing and its drain is over, or until something
// fails.
func (f *forwarder) run(do tasks) error {
	for {
		now := time.Now()
		f.advanceDrain(now)
		if f.drain.over && f.closing {
			return nil
		}
		f.pump.Pause(f.pausesUp(now), f.drain.news)
		before := f.pump.Up().Passed
		ready, err := f.pump.Run(f.timeout(now), f.drain.done != nil)
		if err != nil {
			return err
		}
		if f.drain.done != nil && f.pump.Up().Passed > before {
			f.drain.readOn(time.Now())
		}
		if ready&libzmq.Full != 0 {
			do.full()
		}
		if ready&wakeupReady != 0 {
			takeWakeups(f.wakeup)
			do.woken()
		}
		if ready&serviceReady != 0 {
			do.service()
		}
		if ready&listenerReady != 0 {
			do.listener()
		}
	}
}

// pausesUp tells whether the messages of clients stay with them.
func (f *forwarder) pausesUp(now time.Time) bool {
	return f.drain.read || f.gated && !f.service.isThere(now)
}

// timeout is how long the pump may wait. Negative means for ever.
func (f *forwarder) timeout(now time.Time) time.Duration {
	timeout := time.Duration(-1)
	if f.gated {
		timeout = f.service.untilThere(now)
	}
	if f.drain.done == nil || f.drain.over {
		return timeout
	}
	next := f.drain.deadline
	if !f.drain.read {
		next = f.drain.readUntil
	}
	if f.drain.open && next.Sub(now) > openInterval {
		next = now.Add(openInterval)
	}
	if timeout < 0 || timeout > next.Sub(now) {
		timeout = max(0, next.Sub(now))
	}
	return timeout
}

// openInterval is the time between two looks at the messages that libzmq has and has not written to
// a connection: no event tells that it has. A look that has found some is followed by another.
const openInterval = 2 * time.Millisecond

// takeWakeups takes all waiting wake-ups: one round of the loop answers them all.
func takeWakeups(socket *zmq4.Socket) {
	for {
		if _, err := socket.RecvBytes(zmq4.DONTWAIT); err != nil {
			return
		}
	}
}
