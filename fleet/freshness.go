package fleet

import "time"

// age is how fresh a server is, in steps that the log tells of.
type age uint8

const (
	fresh  age = iota
	half       // half of MaxStale is over
	nearly     // 90 % of it
	stale      // all of it: nobody new gets in
)

// ageOf judges the last proof; zero: there was none. The longer of two times counts: the clock's,
// which may be set back, and the monotonic one's, which stands still while a system sleeps.
func ageOf(proof, now time.Time, limit time.Duration) age {
	if limit < 0 {
		return fresh
	}
	if proof.IsZero() {
		return stale
	}
	switch old := max(now.Sub(proof), now.Round(0).Sub(proof.Round(0))); {
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
