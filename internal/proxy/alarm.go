package proxy

import (
	"time"

	"github.com/zmqauth/zmqauth/internal/reminder"
)

// lastReminder is the longest time between two lines about a policy that is not in force.
const lastReminder = time.Hour

// alarm logs a condition that lasts until it is cleared: at once, and then at growing intervals.
// One goroutine uses it.
type alarm struct {
	timer    *time.Timer // fires when it is time to log it again
	interval time.Duration
	log      func()
}

func newAlarm() *alarm {
	a := &alarm{timer: time.NewTimer(reminder.First)}
	a.clear()
	return a
}

// raise logs the condition, in place of one that was raised before.
func (a *alarm) raise(log func()) {
	a.log, a.interval = log, reminder.First
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
