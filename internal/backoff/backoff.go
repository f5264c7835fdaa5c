// Package backoff delays connections to a server that cannot be used. A ZeroMQ socket alone would
// try ten times a second.
package backoff

import (
	"context"
	"sync"
	"time"
)

// After a failure the next connection waits for Min, twice as long after each further failure, and
// for Max at most.
const (
	Min = 50 * time.Millisecond
	Max = time.Second
)

// Turn says when a server may be tried. The zero value says at once. Any goroutine may use it.
type Turn struct {
	mu     sync.Mutex
	failed int       // failures in a row
	at     time.Time // when the next connection may be tried
}

// Await waits until the server may be tried. It returns false if ctx ends first.
func (t *Turn) Await(ctx context.Context) bool {
	t.mu.Lock()
	wait := time.Until(t.at)
	t.mu.Unlock()
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Note records whether the server could be used.
func (t *Turn) Note(failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !failed {
		t.failed, t.at = 0, time.Time{}
		return
	}
	t.at = time.Now().Add(min(Min<<min(t.failed, 10), Max))
	t.failed++
}
