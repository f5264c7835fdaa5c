package reminder

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestReminder: what happens all the time is logged at growing intervals, with how often it has
// happened. What happens again after a long time is logged at once.
func TestReminder(t *testing.T) {
	var r Reminder
	var logged []time.Duration
	total := 0
	start := time.Now()
	for at := time.Duration(0); at < 24*time.Hour; at += time.Second {
		if count, due := r.Due(start.Add(at)); due {
			logged, total = append(logged, at), total+count
		}
	}
	if len(logged) < 20 || len(logged) > 40 || logged[0] != 0 || logged[1] != time.Minute {
		t.Errorf("logged %d times: %v", len(logged), logged)
	}
	if last := int(logged[len(logged)-1] / time.Second); total != last+1 {
		t.Errorf("%d occurrences counted of %d", total, last+1)
	}
	later := start.Add(48 * time.Hour)
	if _, due := r.Due(later); !due {
		t.Error("what is new again is not logged")
	}
	if _, due := r.Due(later.Add(first)); !due {
		t.Error("the intervals do not begin again")
	}
}

// TestAlarm: a lasting condition is logged again and again, until it is cleared.
func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAlarm()
		count := 0
		start := time.Now()
		a.Raise(func() { count++ })
		for time.Since(start) < time.Hour {
			<-a.C()
			a.Again()
		}
		if count < 6 || count > 8 { // after 1, 3, 7, 15, 31, 63 minutes
			t.Errorf("logged %d times in an hour", count)
		}
		a.Clear()
		select {
		case <-a.C():
			t.Error("it is logged after it was cleared")
		case <-time.After(24 * time.Hour):
		}
	})
}
