package backlog

import "sync"

// Inbox is what other goroutines hand to one that takes all of it when it is woken. The zero value
// is empty.
type Inbox[T any] struct {
	mu    sync.Mutex
	items []T
}

// Put adds an item. It returns true if the inbox was empty: the reader is to be woken then.
func (b *Inbox[T]) Put(item T) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append(b.items, item)
	return len(b.items) == 1
}

// Take takes all items away.
func (b *Inbox[T]) Take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items = nil
	return items
}
