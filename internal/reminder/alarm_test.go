package reminder

import (
	"testing"
	"testing/synctest"
	"time"
)

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
