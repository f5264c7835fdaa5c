package proxy

import "time"

// drain is the end of a forwarder's work: the messages under way are delivered before the sockets
// close. The zero value means that the forwarder is not draining.
type drain struct {
	done chan struct{} // closed when the drain is over; nil: not draining
	over bool          // done is closed

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
// linger at most, and replies are waited for until linger has passed. The returned channel is
// closed when the drain is over. The endpoint stays bound meanwhile: unbinding would cut off the
// clients that wait for replies.
func (f *forwarder) startDrain(linger time.Duration) <-chan struct{} {
	if f.drain.done == nil {
		now := time.Now()
		f.drain = drain{
			done:      make(chan struct{}),
			readLimit: now.Add(linger / 2),
			deadline:  now.Add(linger),
		}
		f.drain.readOn(now)
		if !f.replies && f.down != nil {
			// What comes down is subscriptions, or news. Nobody is owed any of it.
			f.down.paused = true
		}
	}
	return f.drain.done
}

// stopDrain takes startDrain back: the forwarder works on. The deadline stays.
func (f *forwarder) stopDrain() {
	f.drain.done, f.drain.over = nil, false
	f.up.paused = false
	if f.down != nil {
		f.down.paused = false
	}
}

// advanceDrain stops reading when the time for it is up, and ends the drain when nothing is
// undelivered or the deadline has come.
func (f *forwarder) advanceDrain(now time.Time) {
	if f.drain.done == nil || f.drain.over {
		return
	}
	if !now.Before(f.drain.readUntil) {
		f.up.paused = true
	}
	if !now.Before(f.drain.deadline) || f.up.paused && f.undelivered() == 0 {
		f.up.paused, f.drain.over = true, true
		close(f.drain.done)
	}
}

// undelivered counts the messages that no socket has taken, and those that have no reply yet.
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
