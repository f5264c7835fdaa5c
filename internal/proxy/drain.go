package proxy

import (
	"time"

	"github.com/pebbe/zmq4"
)

// drain is the end of a forwarder's work: the messages under way are delivered before the sockets
// close. The zero value means that the forwarder is not draining.
type drain struct {
	done chan struct{} // closed when the drain is over; nil: not draining
	over bool          // done is closed
	read bool          // the messages of clients have been read, and no more are
	news bool          // nothing is passed down: it is subscriptions, or news that nobody is owed
	open bool          // libzmq had messages that were not written, at the last look

	readUntil time.Time // messages of clients are read until then; each message puts it off
	readLimit time.Time // and never to a time after this
	deadline  time.Time // nothing is waited for after this
}

// DrainQuiet is how long clients must send nothing before their messages count as read. Messages
// that have arrived may still be with libzmq's threads, but for less than that.
const DrainQuiet = 50 * time.Millisecond

// readOn puts readUntil off.
func (d *drain) readOn(now time.Time) {
	d.readUntil = now.Add(DrainQuiet)
	if d.readUntil.After(d.readLimit) {
		d.readUntil = d.readLimit
	}
}

// startDrain begins to drain, unless that has begun. Messages of clients are read for half of
// linger at most, and replies are waited for until linger has passed. While the service is away its
// return is waited for. The returned channel is closed when the drain is over. The endpoint stays
// bound meanwhile: unbinding would cut off the clients that wait for replies.
func (f *forwarder) startDrain(linger time.Duration) <-chan struct{} {
	if f.drain.done == nil {
		now := time.Now()
		f.drain = drain{
			done:      make(chan struct{}),
			news:      !f.replies,
			readLimit: now.Add(linger / 2),
			deadline:  now.Add(linger),
		}
		f.drain.readOn(now)
	}
	return f.drain.done
}

// stopDrain takes startDrain back: the forwarder works on. The deadline stays.
func (f *forwarder) stopDrain() { f.drain = drain{deadline: f.drain.deadline} }

// advanceDrain stops reading when the time for it is up, and ends the drain when nothing is
// undelivered or the deadline has come.
func (f *forwarder) advanceDrain(now time.Time) {
	if f.drain.done == nil || f.drain.over {
		return
	}
	if f.waitsForService(now) {
		// Its messages are read as soon as it is back.
		f.drain.readLimit = now.Add(f.drain.deadline.Sub(now) / 2)
		f.drain.readOn(now)
	}
	f.drain.read = f.drain.read || !now.Before(f.drain.readUntil)
	left := f.undelivered()
	f.drain.open = left.Messages > 0
	if !now.Before(f.drain.deadline) || f.drain.read && left == (Undelivered{}) {
		f.drain.read, f.drain.over = true, true
		close(f.drain.done)
	}
}

// waitsForService tells whether clients have sent messages that stay with libzmq because the
// service is away.
func (f *forwarder) waitsForService(now time.Time) bool {
	if !f.gated || f.drain.read || f.service.isThere(now) {
		return false
	}
	events, err := f.front.GetEvents()
	return err == nil && events&zmq4.POLLIN != 0
}

// undelivered counts what is left at the moment.
func (f *forwarder) undelivered() Undelivered {
	left := Undelivered{Messages: f.openMessages()}
	if f.replies {
		up := f.pump.Up()
		if waiting := f.owed.count(up, f.pump.Down()); waiting > up.Open {
			left.Unanswered = waiting - up.Open
		}
	}
	return left
}

// openMessages counts the messages that libzmq has taken and not written to a connection yet.
func (f *forwarder) openMessages() uint64 {
	if f.subscriptions {
		return 0
	}
	open := f.pump.Up().Open
	if f.replies {
		open += f.pump.Down().Open
	}
	return open
}
