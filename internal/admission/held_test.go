package admission

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// newTestHeld returns a Held for at most limit values, and the channel on which it wakes the test.
func newTestHeld(limit int) (h *Held[string], woken chan bool, count *atomic.Int64) {
	woken, count = make(chan bool, 100), new(atomic.Int64)
	return NewHeld[string](limit, func() { woken <- true }, count), woken, count
}

// TestHeld: a value is not due before its time, and then once.
func TestHeld(t *testing.T) {
	h, woken, count := newTestHeld(2)
	const delay = 10 * time.Millisecond
	begun := time.Now()
	if !h.Hold("later", time.Hour) || !h.Hold("soon", delay) || count.Load() != 2 {
		t.Fatalf("not held, or %d counted", count.Load())
	}
	select {
	case <-woken:
	case <-time.After(patience):
		t.Fatal("the owner is not woken")
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("due after %v", took)
	}
	if due := h.TakeDue(); !slices.Equal(due, []string{"soon"}) || count.Load() != 1 {
		t.Errorf("due: %q, counted: %d", due, count.Load())
	}
	if due := h.TakeDue(); len(due) != 0 || len(woken) != 0 || count.Load() != 1 {
		t.Errorf("due again: %q, counted: %d", due, count.Load())
	}
	h.Release()
}

// TestHeldIsBounded: no more values wait than the limit. One that has become due makes room.
func TestHeldIsBounded(t *testing.T) {
	h, woken, count := newTestHeld(2)
	if !h.Hold("a", time.Hour) || !h.Hold("b", 0) {
		t.Error("not held")
	}
	<-woken
	if !h.Hold("c", time.Hour) || h.Hold("d", time.Hour) || count.Load() != 3 {
		t.Errorf("the limit is not 2; counted: %d", count.Load())
	}
	h.Release()
}

// TestHeldRelease: a release makes all values due and leaves no timer. Afterwards nothing is held.
func TestHeldRelease(t *testing.T) {
	h, woken, count := newTestHeld(3)
	for _, value := range []string{"a", "b", "c"} {
		if !h.Hold(value, time.Hour) {
			t.Errorf("%s is not held", value)
		}
	}
	h.Release()
	due := h.TakeDue()
	slices.Sort(due)
	if !slices.Equal(due, []string{"a", "b", "c"}) || count.Load() != 0 {
		t.Errorf("due: %q, counted: %d", due, count.Load())
	}
	h.Release() // again
	if h.Hold("d", 0) || len(h.waiting) != 0 || len(h.TakeDue()) != 0 || len(woken) != 0 {
		t.Errorf("held after the release; %d wait, woken %d times", len(h.waiting), len(woken))
	}
}

// TestHeldRaces: values become due while others are held and all are released. None is lost, and
// none comes twice.
func TestHeldRaces(t *testing.T) {
	for range 100 {
		var count atomic.Int64
		const values = 100
		h := NewHeld[int](values, func() {}, &count)
		for i := range values {
			if !h.Hold(i, time.Duration(i%10)*10*time.Microsecond) {
				t.Fatalf("%d is not held", i)
			}
		}
		due := h.TakeDue()
		h.Release()
		due = append(due, h.TakeDue()...)
		slices.Sort(due)
		if len(due) != values || len(slices.Compact(due)) != values || count.Load() != 0 {
			t.Fatalf("%d values, %d counted", len(due), count.Load())
		}
	}
}
