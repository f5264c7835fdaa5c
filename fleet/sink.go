package fleet

import (
	"errors"
	"time"
)

// sink is a Member as its store sees it.
type sink struct{ m *Member }

// Reset swaps everything.
func (s sink) Reset(entries []Entry, p Position) {
	var log Log
	log.Add(entries...)
	s.ResetLog(&log, p)
}

// ResetLog swaps everything.
func (s sink) ResetLog(log *Log, p Position) {
	m := s.m
	verified := m.ledger.verify(log) // without the lock: nobody else changes the ledger
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	changes, refused := m.ledger.reset(log, verified)
	m.check(m.enforcer.put(changes))
	m.refuse(refused...)
	m.position, m.loaded, m.changed = p, true, true
	m.options.Logger.Info("zmqauth: the fleet's entries are loaded", "entries", log.Len(),
		"changes", len(changes), "epoch", p.Epoch, "revision", p.Revision)
	m.judgeLocked(m.options.Clock())
	m.mu.Unlock()
	_ = m.save() // logs
}

// Apply takes one change, unless it is one from before.
func (s sink) Apply(e Entry, p Position) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || !m.loaded || p.Epoch != m.position.Epoch || p.Revision <= m.position.Revision {
		return
	}
	changes, err := m.ledger.apply(e)
	m.refuse(err)
	m.check(m.enforcer.put(changes))
	m.position = p
	m.noteChange(e)
	if e.State == Revoked {
		m.hasten()
	}
}

// Fresh notes a proof. One from the future would be fresh too long.
func (s sink) Fresh(at time.Time) {
	m := s.m
	m.turn.Note(false)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.options.Clock()
	if m.closed || !m.loaded || at.After(now) {
		return
	}
	if m.proof.IsZero() || at.After(m.proof) {
		m.proof = at
		m.noteProof()
	}
	m.awaiting, m.trouble = false, ""
	m.judgeLocked(now)
	if m.following.Over() {
		m.options.Logger.Info("zmqauth: the fleet is followed again", "server", m.options.Server)
	}
}

// Notice refuses for a while whose revocation is announced.
func (s sink) Notice(e Entry) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	before := m.ledger.notices[e.Key()].Revision
	changes, err := m.ledger.announce(e)
	m.refuse(err)
	m.check(m.enforcer.put(changes))
	if m.ledger.notices[e.Key()].Revision > before {
		m.noteNotice(e)
		m.options.Logger.Warn("zmqauth: fleet: a revocation is announced, until the log confirms it",
			"entry", e)
	}
}

// hasten has the next report made soon.
func (m *Member) hasten() {
	select {
	case m.hurry <- struct{}{}:
	default:
	}
}

// refuse counts and logs entries that do not count.
func (m *Member) refuse(faults ...error) {
	for _, err := range faults {
		if err == nil {
			continue
		}
		m.refused++
		if count, due := m.refusals.Due(m.options.Clock()); due {
			m.options.Logger.Error("zmqauth: fleet: an entry is refused, what was in force stays",
				"error", err, "times", count, "outdated", errors.Is(err, ErrOutdated))
		}
	}
}
