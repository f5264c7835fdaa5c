package admission

import (
	"sync"
	"sync/atomic"
	"time"
)

// Held are values that wait for their time. When the time of one comes, the owner is woken and
// takes it. Any goroutine may call the methods.
type Held[T any] struct {
	limit int
	wake  func()
	count *atomic.Int64

	mu       sync.Mutex
	waiting  map[*held[T]]struct{}
	due      []T
	released bool
}

// held is one value and the timer that makes it due.
type held[T any] struct {
	value T
	timer *time.Timer
}

// NewHeld returns a Held for at most limit values that wait. It calls wake, from a goroutine of its
// own, for each value that has become due. It adds to count each value that it holds, and subtracts
// the value when that is taken.
func NewHeld[T any](limit int, wake func(), count *atomic.Int64) *Held[T] {
	return &Held[T]{limit: limit, wake: wake, count: count, waiting: make(map[*held[T]]struct{})}
}

// Hold keeps a value for a delay. It returns false, and keeps nothing, where limit values wait
// already or after Release.
func (h *Held[T]) Hold(value T, delay time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released || len(h.waiting) >= h.limit {
		return false
	}
	entry := &held[T]{value: value}
	entry.timer = time.AfterFunc(delay, func() { h.expire(entry) })
	h.waiting[entry] = struct{}{}
	h.count.Add(1)
	return true
}

func (h *Held[T]) expire(entry *held[T]) {
	h.mu.Lock()
	_, waits := h.waiting[entry]
	if waits {
		delete(h.waiting, entry)
		h.due = append(h.due, entry.value)
	}
	h.mu.Unlock()
	if waits { // else it has been released meanwhile
		h.wake()
	}
}

// TakeDue returns the values that have become due since the last call.
func (h *Held[T]) TakeDue() []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	due := h.due
	h.due = nil
	h.count.Add(-int64(len(due)))
	return due
}

// Release makes all values due, in no order, and wakes nobody. It leaves no timer. From then on
// Hold holds nothing.
func (h *Held[T]) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	for entry := range h.waiting {
		entry.timer.Stop()
		h.due = append(h.due, entry.value)
	}
	clear(h.waiting)
}
