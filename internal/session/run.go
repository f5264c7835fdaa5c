package session

import "time"

// stirBy has the Table's goroutine look at what there is to do, at that time or before. The caller
// holds t.mu.
func (t *Table) stirBy(at time.Time) {
	if !at.Before(t.wakes) {
		return
	}
	t.wakes = at
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

const (
	// shortest is the shortest time that a timer of Go's takes on an idle machine: it waits in
	// epoll_wait(2). Where replies wait that is too long, and the goroutine takes naps.
	shortest = time.Millisecond
	// longestNap is how long whoever stirs the goroutine may have to wait for its end.
	longestNap = 50 * time.Microsecond
)

// run does what is due: it looks for the effects of replies, lets the next ones go, judges new
// sessions once more, and forgets what has ended.
func (t *Table) run() {
	defer close(t.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	swept := time.Now()
	for {
		select {
		case <-t.closed:
			return
		case <-t.wake:
		case <-timer.C:
		}
		now := time.Now()
		if now.Sub(swept) >= sweepInterval {
			swept = now
			t.sweep(now)
		}
		t.mu.Lock()
		send, next := t.lookAtAll(now)
		if at := t.lookAtClosing(now); !at.IsZero() && at.Before(next) {
			next = at
		}
		if soon := now.Add(firstLook); t.waiting.Load() == 0 && next.Before(soon) {
			next = soon // one look serves many
		}
		fresh := t.fresh
		t.fresh, t.wakes = nil, next
		t.mu.Unlock()
		for _, r := range send {
			r.Send()
		}
		t.judgeFresh(fresh)
		wait := time.Until(next)
		if wait < shortest {
			nap(min(wait, longestNap))
			wait = 0
		}
		timer.Reset(wait)
	}
}

// lookAtAll looks at all lanes that have a reply under way. It returns when to look next. The
// caller holds t.mu.
func (t *Table) lookAtAll(now time.Time) (send []*Reply, next time.Time) {
	next = now.Add(sweepInterval)
	for l := range t.busy {
		replies, at := t.look(l, now)
		send = append(send, replies...)
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return send, next
}

// judgeFresh judges sessions that have just been opened: the rules may have changed since they were
// let in, and whoever judges all sessions then has not seen them.
func (t *Table) judgeFresh(fresh []*entry) {
	for _, e := range fresh {
		expires, ok := t.cfg.Judge(e.snapshot())
		if !ok {
			t.cutOne(e)
			continue
		}
		e.expires.CompareAndSwap(&e.Expires, &expires) // unless a Rejudge has told since
		t.mu.Lock()
		t.dueBy(expires) // it is judged again then
		t.mu.Unlock()
	}
}
