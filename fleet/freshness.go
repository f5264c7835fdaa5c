package fleet

import (
	"fmt"
	"time"
)

// age is how fresh a server is, in steps that the log tells of.
type age uint8

const (
	fresh  age = iota
	half       // half of MaxStale is over
	nearly     // 90 % of it
	stale      // all of it: nobody new gets in
)

// oldness is the longer of two times: the clock's, which may be set back, and the monotonic one's,
// which stands still while a system sleeps.
func oldness(proof, now time.Time) time.Duration {
	return max(now.Sub(proof), now.Round(0).Sub(proof.Round(0)))
}

// ageOf judges the last proof; zero: there was none.
func ageOf(proof, now time.Time, limit time.Duration) age {
	if limit < 0 {
		return fresh
	}
	if proof.IsZero() {
		return stale
	}
	switch old := oldness(proof, now); {
	case old >= limit:
		return stale
	case old >= limit-limit/10:
		return nearly
	case old >= limit/2:
		return half
	}
	return fresh
}

// checkInterval is the time between two looks at the age of the last proof.
func checkInterval(limit time.Duration) time.Duration {
	if limit < 0 {
		return time.Second
	}
	return min(time.Second, max(limit/100, time.Millisecond))
}

// Health is nil while all is well. The error says that the last proof is older than half of
// Options.MaxStale, and when nobody new gets in, or that nobody does now. It is for health checks:
// it comes long before anybody is refused.
func (m *Member) Health() error {
	now := m.options.Clock()
	m.judge(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	limit := m.options.MaxStale
	switch old := oldness(m.proof, now).Round(time.Second); {
	case m.closed:
		return m.err
	case !m.loaded || m.proof.IsZero():
		return fmt.Errorf("fleet: the store has not answered yet, nobody new gets in%s", m.because())
	case m.age == stale:
		return fmt.Errorf("fleet: the news are %v old, nobody new gets in%s", old, m.because())
	case m.age > fresh:
		return fmt.Errorf("fleet: the news are %v old, at %v nobody new gets in%s", old, limit,
			m.because())
	}
	return nil
}

// because is what keeps a member from following, as the end of a sentence.
func (m *Member) because() string {
	if m.trouble == "" {
		return ""
	}
	return ": " + m.trouble
}

// Age is how old the last proof of being up to date is, for metrics; ok is false if there is none.
func (m *Member) Age() (age time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return oldness(m.proof, m.options.Clock()), !m.proof.IsZero()
}
