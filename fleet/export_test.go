package fleet

import "time"

// SetClock gives a member another clock.
func (o *Options) SetClock(now func() time.Time) { o.now = now }

// Judge has a member look at the clock.
func (m *Member) Judge() { m.judge(m.options.now()) }

// Sink is a member as its store sees it.
func (m *Member) Sink() Sink { return sink{m} }
