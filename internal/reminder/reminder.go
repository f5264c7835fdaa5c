// Package reminder says when to log what lasts or happens again and again: at once, and then at
// growing intervals, so that nobody overlooks it and it fills no disk.
package reminder

import "time"

const (
	// First is the time from the first line to the second, where nothing else is said.
	First = time.Minute
	// MaxInterval is the longest time between two lines.
	MaxInterval = 24 * time.Hour
	// memory is how many intervals must pass without an event until the next one counts as new.
	memory = 2
)

// Condition is something that is wrong for a while. The zero value says that nothing is. One
// goroutine at a time may use it.
type Condition struct {
	text     string
	again    time.Time
	interval time.Duration
}

// Due reports whether the condition is to be logged now. Another text is another condition. first
// is the time to the second line; then the time doubles.
func (c *Condition) Due(text string, now time.Time, first time.Duration) bool {
	if c.text != text {
		*c = Condition{text: text, interval: first, again: now.Add(first)}
		return true
	}
	if now.Before(c.again) {
		return false
	}
	c.interval = min(2*c.interval, MaxInterval)
	c.again = now.Add(c.interval)
	return true
}

// Again is when the condition is due again, if it lasts. The zero time means at once.
func (c *Condition) Again() time.Time { return c.again }

// Over ends the condition. It reports whether there was one.
func (c *Condition) Over() bool {
	was := c.text != ""
	*c = Condition{}
	return was
}

// Events are events of one kind. The zero value has seen none. One goroutine at a time may use it.
type Events struct {
	next     time.Time
	interval time.Duration
	count    int // since the last one that was logged
}

// Due counts an event and reports whether to log it. count is how many there were since the last
// one that was logged, with this one.
func (e *Events) Due(now time.Time) (count int, due bool) {
	e.count++
	if now.Before(e.next) {
		return 0, false
	}
	if e.interval == 0 || now.Sub(e.next) > memory*e.interval {
		e.interval = First
	} else {
		e.interval = min(2*e.interval, MaxInterval)
	}
	e.next = now.Add(e.interval)
	count, e.count = e.count, 0
	return count, true
}
