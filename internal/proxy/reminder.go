package proxy

import "time"

// reminder says when to log a condition that lasts: at once, and then at growing intervals. The
// zero value is ready.
type reminder struct {
	next     time.Time
	interval time.Duration
	count    int // occurrences since the last time it was due
}

const (
	firstReminder = time.Minute
	lastReminder  = time.Hour
	// reminderMemory is how many intervals must pass without the condition until it counts as new.
	reminderMemory = 2
)

// due counts an occurrence and tells whether to log it. count is how many there were since the last
// one that was logged, with this one.
func (r *reminder) due(now time.Time) (count int, due bool) {
	r.count++
	if now.Before(r.next) {
		return 0, false
	}
	if r.interval == 0 || now.Sub(r.next) > reminderMemory*r.interval {
		r.interval = firstReminder
	} else {
		r.interval = min(2*r.interval, lastReminder)
	}
	r.next = now.Add(r.interval)
	count, r.count = r.count, 0
	return count, true
}

// alarm logs a condition that lasts until it is cleared: at once, and then at growing intervals.
// One goroutine uses it.
type alarm struct {
	timer    *time.Timer // fires when it is time to log it again
	interval time.Duration
	log      func()
}

func newAlarm() *alarm {
	a := &alarm{timer: time.NewTimer(firstReminder)}
	a.clear()
	return a
}

// raise logs the condition, in place of one that was raised before.
func (a *alarm) raise(log func()) {
	a.log, a.interval = log, firstReminder
	a.timer.Reset(a.interval)
	log()
}

// again logs the condition. It is called when the timer has fired.
func (a *alarm) again() {
	a.interval = min(2*a.interval, lastReminder)
	a.timer.Reset(a.interval)
	a.log()
}

// clear ends the condition.
func (a *alarm) clear() { a.timer.Stop() }
