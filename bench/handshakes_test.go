package main

import (
	"errors"
	"testing"
	"time"
)

// TestSettled makes sure that settled waits for the work after the handshakes, but not for ever and
// not after an error.
func TestSettled(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		work  time.Duration // in each interval
		until int           // times asked, after which there is no work
		fails int           // the time asked that is an error
		asked int
		err   error
	}{
		"idle":       {asked: 2},
		"some work":  {work: time.Millisecond, until: 3, asked: 4},
		"never idle": {work: time.Millisecond, until: 1000, asked: settlePatience + 1},
		"broken":     {work: time.Millisecond, until: 1000, fails: 3, asked: 3, err: broken},
	} {
		asked, used := 0, time.Second
		got, err := settled(func() (time.Duration, error) {
			if asked++; asked == c.fails {
				return 0, broken
			}
			if asked <= c.until {
				used += c.work
			}
			return used, nil
		})
		if asked != c.asked || err != c.err || err == nil && got != used {
			t.Errorf("%s: asked %d times: %v, %v; want %d times: %v, %v",
				name, asked, got, err, c.asked, used, c.err)
		}
	}
}
