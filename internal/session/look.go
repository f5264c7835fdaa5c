package session

import "time"

const (
	// firstLook is the time from a reply to a look at its effect, lookInterval that between two looks.
	firstLook    = 3 * time.Millisecond
	lookInterval = 5 * time.Millisecond
	// firstPause is the time from a look because of an event to the next one: libzmq tells of the end
	// of a handshake just before it writes the last bytes. It doubles with each look.
	firstPause = 50 * time.Microsecond
	// askedAgain is after how many looks in vain the reply is sent once more, to learn whether its
	// connection still is there: each 50 ms.
	askedAgain = 10
	// ambiguity is after how many looks in vain the next reply goes out nevertheless: the request may
	// have come from a socket that is not guarded. Both are in the group then. That takes 3 s, and
	// longer on a machine that is so busy that the looks are late: libzmq is late there, too.
	ambiguity = 600
	// patientLook is the time between two looks after that.
	patientLook = 500 * time.Millisecond
	// maxUnexplained is how many replies are asked about again after that. With more the lane is
	// taken for one on which no effect can be seen.
	maxUnexplained = 16
)

// expect has a lane looked at soon: the effect of a reply may be there, and others wait. The caller
// holds t.mu.
func (t *Table) expect(l *lane) {
	l.pause = firstPause
	if now := time.Now(); l.soon.IsZero() || l.soon.After(now) {
		l.soon = now
		t.stirBy(now)
	}
}

// look looks for the effect of the replies under way, and lets the next one go. It returns the
// replies to send, and when to look next; zero: there is nothing to look for. The caller holds
// t.mu.
func (t *Table) look(l *lane, now time.Time) (send []*Reply, next time.Time) {
	if now.Before(l.next()) && !l.seen {
		return nil, l.next()
	}
	due := !now.Before(l.due)
	t.settle(l, l.grown(due || l.search > 0))
	l.hope(now)
	send, overdue := l.askAgain(now)
	if len(l.queue) > 0 && (len(l.asked) == 0 || l.seen || overdue) && l.mayGo(l.queue[0], due) {
		r := l.queue[0]
		l.queue = l.queue[1:]
		t.waiting.Add(-1)
		t.ask(l, r)
		send = append(send, r)
	}
	if len(l.asked) == 0 && len(l.queue) == 0 {
		delete(t.busy, l)
		t.tidy(l)
		return send, time.Time{}
	}
	return send, l.next()
}

// askAgain counts a look in vain, unless it was because of an event. It returns the replies to send
// once more. overdue says that the last one has had its time.
func (l *lane) askAgain(now time.Time) (send []*Reply, overdue bool) {
	doubt, due := l.doubt, !now.Before(l.due)
	l.doubt = false
	for _, r := range l.asked {
		if due {
			r.looks++
		}
		overdue = r.looks >= ambiguity
		if doubt || due && (overdue || r.looks%askedAgain == 0) {
			r.repeated = true
			send = append(send, r)
		}
	}
	switch {
	case due && overdue:
		l.due = now.Add(patientLook)
	case due:
		l.due = now.Add(lookInterval)
	}
	return send, due && overdue
}

// hope has the lane looked at again soon, if that was because of an event and in vain. The second
// time all candidates are looked at, some in each look: decisions wait for a look.
func (l *lane) hope(now time.Time) {
	l.soon = time.Time{}
	switch {
	case l.seen || l.pause == 0:
		l.search = 0
	case l.search > 0:
		l.search -= thoroughCount
		l.soon = now
	case l.pause < lookInterval:
		if l.pause == firstPause && l.candidates.count() > quickCount {
			l.search = l.candidates.count()
		}
		l.soon = now.Add(l.pause)
		l.pause *= 2
	}
}

// next is when the lane is looked at next.
func (l *lane) next() time.Time {
	if l.soon.IsZero() {
		return l.due
	}
	return l.soon
}

// grown returns the connections on which more was written than before a reply. Where one reply is
// under way, and no earlier one may still have its effect, there is one such connection at most,
// and not all are looked at in each look.
func (l *lane) grown(thorough bool) []*conn {
	switch {
	case l.limit == 0 || len(l.asked) == 0:
		return nil
	case len(l.asked) > 1 || l.asked[0].entry != nil || len(l.unclear) > 0:
		return l.candidates.lookAtAll(l.hasGrown)
	}
	if c := l.candidates.look(l.hasGrown, thorough); c != nil {
		return []*conn{c}
	}
	return nil
}

// hasGrown tells whether more was written to a connection than before a reply.
func (l *lane) hasGrown(c *conn) bool {
	written, err := c.handle.written()
	return err == nil && written > l.limit && c.handle.isOpen()
}

// settle finds out what the connections carry that have grown after a reply. The caller holds t.mu.
func (t *Table) settle(l *lane, grown []*conn) {
	if len(grown) == 0 || len(l.asked) == 0 {
		return
	}
	l.seen = true
	for _, c := range grown {
		c.decided = true
	}
	if len(l.asked) == 1 && len(grown) == 1 && l.asked[0].entry == nil {
		t.bind(l.asked[0], grown[0])
		return
	}
	for _, c := range grown {
		l.group(c)
		l.unclear[c] = struct{}{}
	}
	isCut := false // the group, while the replies were under way
	for _, r := range l.asked {
		t.join(l, r)
		isCut = isCut || r.Session != nil && r.entry.place < 0
	}
	for _, c := range grown {
		if isCut {
			_ = c.handle.cut()
		}
	}
	if len(l.asked) > maxUnexplained {
		l.limit = 0
	}
	if l.countUnclear() >= len(l.asked) || l.limit == 0 {
		for len(l.asked) > 0 {
			t.explain(l, l.asked[0])
		}
	}
}

// countUnclear is how many of the connections that may be for several replies are open: so many of
// the replies under way have had their effect. The others' are not, or they will be gone.
func (l *lane) countUnclear() (count int) {
	for c := range l.unclear {
		if c.handle.isOpen() {
			count++
		}
	}
	return count
}
