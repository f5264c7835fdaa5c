package fleet

// Judge has a member look at the clock.
func (m *Member) Judge() { m.judge(m.options.Clock()) }

// Sink is a member as its store sees it.
func (m *Member) Sink() Sink { return sink{m} }
