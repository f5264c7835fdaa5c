package reminder

import "time"

// Alarm logs a condition that lasts until it is cleared: at once, and then at growing intervals.
// One goroutine uses it.
type Alarm struct {
	timer    *time.Timer
	interval time.Duration
	log      func()
}

// NewAlarm returns an alarm that is not raised.
func NewAlarm() *Alarm {
	a := &Alarm{timer: time.NewTimer(First)}
	a.Clear()
	return a
}

// Raise logs the condition, in place of one that was raised before.
func (a *Alarm) Raise(log func()) {
	a.log, a.interval = log, First
	a.timer.Reset(a.interval)
	log()
}

// C receives a value when it is time to call Again.
func (a *Alarm) C() <-chan time.Time { return a.timer.C }

// Again logs the condition. It is called for each value of C.
func (a *Alarm) Again() {
	a.interval = min(2*a.interval, MaxInterval)
	a.timer.Reset(a.interval)
	a.log()
}

// Clear ends the condition.
func (a *Alarm) Clear() { a.timer.Stop() }
