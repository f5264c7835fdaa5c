package session

import "time"

// stir has the Table's goroutine look at what there is to do. The caller holds t.mu.
func (t *Table) stir() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run does what is due: it looks for the effects of replies, lets the next ones go, judges new
// sessions once more, and forgets what has ended.
func (t *Table) run() {
	defer close(t.done)
	timer := time.NewTimer(sweepInterval)
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
		fresh := t.fresh
		t.fresh = nil
		t.mu.Unlock()
		for _, r := range send {
			r.Send()
		}
		t.judgeFresh(fresh)
		timer.Reset(next)
	}
}

// lookAtAll looks at all lanes that have a reply under way. The caller holds t.mu.
func (t *Table) lookAtAll(now time.Time) (send []*Reply, next time.Duration) {
	next = sweepInterval
	for l := range t.busy {
		replies, wait := t.look(l, now)
		send = append(send, replies...)
		if wait > 0 {
			next = min(next, wait)
		}
	}
	return send, next
}

// judgeFresh judges sessions that have just been opened: the rules may have changed since they were
// let in, and whoever judges all sessions then has not seen them.
func (t *Table) judgeFresh(fresh []*entry) {
	for _, e := range fresh {
		if _, ok := t.cfg.Judge(e.snapshot()); !ok {
			t.cutOne(e)
		}
	}
}
