package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tally counts events by class and kind.
type tally struct {
	mu     sync.Mutex
	counts map[string]map[string]int
	waits  map[string][]time.Duration
}

func newTally() *tally {
	return &tally{counts: make(map[string]map[string]int), waits: make(map[string][]time.Duration)}
}

func (y *tally) count(class, kind string) { y.add(class, kind, 1) }

func (y *tally) add(class, kind string, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.counts[class] == nil {
		y.counts[class] = make(map[string]int)
	}
	y.counts[class][kind] += n
}

// waited records how long something took.
func (y *tally) waited(what string, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.waits[what] = append(y.waits[what], took)
}

// expect adds kinds that must happen at least once.
func (y *tally) expect(class string, kinds ...string) {
	for _, kind := range kinds {
		y.add(class, kind, 0)
	}
}

// complete reports whether all expected events have happened.
func (y *tally) complete() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, kinds := range y.counts {
		for _, n := range kinds {
			if n == 0 {
				return false
			}
		}
	}
	return true
}

// report prints the tally. It fails the test if an expected event has never happened.
func (y *tally) report(t *testing.T) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	var text strings.Builder
	for _, class := range slices.Sorted(maps.Keys(y.counts)) {
		fmt.Fprintf(&text, "\n%s:", class)
		for _, kind := range slices.Sorted(maps.Keys(y.counts[class])) {
			fmt.Fprintf(&text, " %s %d,", kind, y.counts[class][kind])
			if y.counts[class][kind] == 0 {
				t.Errorf("%s: %s has never happened", class, kind)
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(y.waits)) {
		waits := y.waits[what]
		slices.Sort(waits)
		middle, late, last := waits[len(waits)/2], waits[len(waits)*99/100], waits[len(waits)-1]
		fmt.Fprintf(&text, "\n%s: %d times, half within %v, 99%% within %v, the last %v",
			what, len(waits),
			middle.Round(time.Microsecond), late.Round(time.Microsecond), last.Round(time.Microsecond))
		if middle > patience/10 {
			t.Errorf("%s: half of them took more than %v", what, middle)
		}
	}
	t.Log(text.String())
}
