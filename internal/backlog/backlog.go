// Package backlog keeps what one goroutine hands to another, so that the first never waits.
package backlog

import (
	"sync"
	"sync/atomic"
)

// Backlog holds items that are still to be told. A goroutine tells one after the other, in the
// order in which they came. It lives while there are any. The fields are set before the first Add.
type Backlog[T any] struct {
	// Tell is told each item. It may end its goroutine. It must not panic.
	Tell func(T)
	// Limit is how many items wait, behind those that the goroutine has taken.
	Limit int
	// Lost counts the items that there was no room for.
	Lost *atomic.Uint64

	mu      sync.Mutex
	queue   []T
	running bool
}

// Add never waits.
func (b *Backlog[T]) Add(item T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) >= b.Limit {
		b.Lost.Add(1)
		return
	}
	b.queue = append(b.queue, item)
	if !b.running {
		b.running = true
		go b.run(nil)
	}
}

// run tells a batch of items, and then all that have been added meanwhile.
func (b *Backlog[T]) run(batch []T) {
	finished := false
	defer func() {
		if !finished { // Tell has called runtime.Goexit: another goroutine goes on
			go b.run(batch)
		}
	}()
	for {
		for len(batch) > 0 {
			item := batch[0]
			batch = batch[1:]
			b.Tell(item)
		}
		b.mu.Lock()
		batch, b.queue = b.queue, nil
		b.running = len(batch) > 0
		b.mu.Unlock()
		if len(batch) == 0 {
			finished = true
			return
		}
	}
}

// IsIdle tells whether everything has been told.
func (b *Backlog[T]) IsIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.running
}
