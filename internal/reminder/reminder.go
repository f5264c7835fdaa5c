// Package reminder says when to log what lasts: at once, and then at growing intervals.
package reminder

import "time"

// Reminder says when to log a condition that shows itself again and again: at once, and then at
// growing intervals. The zero value is ready. One goroutine uses it.
type Reminder struct {
	next     time.Time
	interval time.Duration
	count    int // occurrences since the last time it was due
}

const (
	first = time.Minute
	last  = time.Hour
	// memory is how many intervals must pass without the condition until it counts as new.
	memory = 2
)

// Due counts an occurrence and tells whether to log it. count is how many there were since the last
// one that was logged, with this one.
func (r *Reminder) Due(now time.Time) (count int, due bool) {
	r.count++
	if now.Before(r.next) {
		return 0, false
	}
	if r.interval == 0 || now.Sub(r.next) > memory*r.interval {
		r.interval = first
	} else {
		r.interval = min(2*r.interval, last)
	}
	r.next = now.Add(r.interval)
	count, r.count = r.count, 0
	return count, true
}

// Alarm logs a condition that lasts until it is cleared: at once, and then at growing intervals.
// One goroutine uses it.
type Alarm struct {
	timer    *time.Timer
	interval time.Duration
	log      func()
}

// NewAlarm returns an alarm that is not raised.
func NewAlarm() *Alarm {
	a := &Alarm{timer: time.NewTimer(first)}
	a.Clear()
	return a
}

// Raise logs the condition, in place of one that was raised before.
func (a *Alarm) Raise(log func()) {
	a.log, a.interval = log, first
	a.timer.Reset(a.interval)
	log()
}

// C receives a value when it is time to call Again.
func (a *Alarm) C() <-chan time.Time { return a.timer.C }

// Again logs the condition. It is called for each value of C.
func (a *Alarm) Again() {
	a.interval = min(2*a.interval, last)
	a.timer.Reset(a.interval)
	a.log()
}

// Clear ends the condition.
func (a *Alarm) Clear() { a.timer.Stop() }
