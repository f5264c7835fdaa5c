package stream

import "time"

// maxComplaintInterval is the longest time between two log lines about something that lasts.
const maxComplaintInterval = 24 * time.Hour

// complaint is about something that is wrong for a while. It is logged at once, and again at
// growing intervals as long as it lasts.
type complaint struct {
	text     string
	again    time.Time
	interval time.Duration
}

// isDue reports whether a complaint is to be logged now. Another text is another complaint. The
// interval first is the time to the second line; then it doubles.
func (c *complaint) isDue(text string, now time.Time, first time.Duration) bool {
	if c.text != text {
		*c = complaint{text: text, interval: first, again: now.Add(first)}
		return true
	}
	if now.Before(c.again) {
		return false
	}
	c.interval = min(2*c.interval, maxComplaintInterval)
	c.again = now.Add(c.interval)
	return true
}

// isOver ends a complaint. It reports whether there was one.
func (c *complaint) isOver() bool {
	was := c.text != ""
	*c = complaint{}
	return was
}
