package reminder

import (
	"testing"
	"time"
)

// TestEvents: what happens all the time is logged at growing intervals, with how often it has
// happened. What happens again after a long time is logged at once.
func TestEvents(t *testing.T) {
	var r Events
	var logged []time.Duration
	total := 0
	start := time.Now()
	for at := time.Duration(0); at < 24*time.Hour; at += time.Second {
		if count, due := r.Due(start.Add(at)); due {
			logged, total = append(logged, at), total+count
		}
	}
	if len(logged) < 8 || len(logged) > 15 || logged[0] != 0 || logged[1] != time.Minute {
		t.Errorf("logged %d times: %v", len(logged), logged)
	}
	if last := int(logged[len(logged)-1] / time.Second); total != last+1 {
		t.Errorf("%d occurrences counted of %d", total, last+1)
	}
	later := start.Add(30 * 24 * time.Hour)
	if _, due := r.Due(later); !due {
		t.Error("what is new again is not logged")
	}
	if _, due := r.Due(later.Add(First)); !due {
		t.Error("the intervals do not begin again")
	}
}

// TestCondition: the intervals grow.
func TestCondition(t *testing.T) {
	var c Condition
	now, said := time.Now(), 0
	for range 60 * 24 * 8 {
		if c.Due("fault", now, time.Minute) {
			said++
		}
		now = now.Add(time.Minute)
	}
	if said < 11 || said > 20 { // 1, 2, 4 … 1024 minutes, then days
		t.Errorf("said %d times in 8 days", said)
	}
	if !c.Due("another", now, time.Minute) || !c.Over() || c.Over() ||
		!c.Due("another", now, time.Minute) {
		t.Error("another fault is not said at once")
	}
}
