package proxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Undelivered is what is left of the messages that a frontend has taken.
type Undelivered struct {
	Messages   uint64 // neither passed on to the service, nor a reply that has reached its client
	Unanswered uint64 // passed on to the service, which has not answered them
}

// leftovers adds up what frontends had left at their ends, by their names. The zero value is empty.
type leftovers struct {
	mu     sync.Mutex
	byName map[string]Undelivered
}

func (l *leftovers) add(name string, left Undelivered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left == (Undelivered{}) {
		return
	}
	if l.byName == nil {
		l.byName = make(map[string]Undelivered)
	}
	sum := l.byName[name]
	sum.Messages += left.Messages
	sum.Unanswered += left.Unanswered
	l.byName[name] = sum
}

// err says how many messages of which frontends were lost. It is nil if there are none: a message
// that the service did not answer was not lost here.
func (l *leftovers) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lost []string
	for _, name := range slices.Sorted(maps.Keys(l.byName)) {
		if count := l.byName[name].Messages; count > 0 {
			lost = append(lost, fmt.Sprintf("frontend %q: %d", name, count))
		}
	}
	if lost == nil {
		return nil
	}
	return fmt.Errorf("messages were taken and not passed on: %s", strings.Join(lost, ", "))
}
