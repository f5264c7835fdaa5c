package session

import "time"

// An event may be late: it may tell of a connection that was let in, and whose session was cut,
// when the connection was not known yet. Such a connection is cut when it is known.

// lateTime is how long after a cut the connections of a lane are cut that become known: those who
// read events and make cuts may have to wait for a processor. Later it depends on when events were
// read. libzmq's clients come back later, unless they are told not to wait.
const lateTime = 100 * time.Millisecond

// cutLater notes that the connections of a lane were cut, if there may be some that are not known.
// The caller holds t.mu, and ends the sessions afterwards.
func (t *Table) cutLater(l *lane, now time.Time) {
	if l.mayHaveUnknown(now) {
		t.late[l.key] = now
	}
}

// mayHaveUnknown tells whether somebody was let in on a connection that may not be known yet.
func (l *lane) mayHaveUnknown(now time.Time) bool {
	for _, r := range l.asked {
		if r.Session != nil && r.entry == nil {
			return true
		}
	}
	if l.limit > 0 {
		return false // other sessions are on connections that are known
	}
	for e := range l.sessions {
		if now.Sub(e.Since) < trimAge {
			return true
		}
	}
	return false
}

// isLate tells whether the event that tells of a connection may be from before a cut that was for
// it, too. The caller holds t.mu.
func (s *Socket) isLate(key laneKey, now time.Time) bool {
	cut, ok := s.table.late[key]
	if !ok || now.Sub(cut) >= trimAge {
		return false
	}
	return now.Sub(cut) < lateTime || s.emptied.Before(cut)
}

// forgetLate forgets the cuts whose events have come. The caller holds t.mu.
func (t *Table) forgetLate(now time.Time) {
	for key, cut := range t.late {
		if now.Sub(cut) >= trimAge {
			delete(t.late, key)
		}
	}
}
