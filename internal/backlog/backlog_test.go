package backlog

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
)

// TestLimit: an item that there is no room for is counted, and nobody waits for room.
func TestLimit(t *testing.T) {
	const limit = 100
	free, told := make(chan bool), make(chan int, limit+1)
	begun := make(chan bool, limit+1)
	var lost atomic.Uint64
	b := Backlog[int]{Limit: limit, Lost: &lost, Tell: func(n int) {
		begun <- true
		<-free
		told <- n
	}}
	b.Add(0)
	<-begun // the first one does not wait any more
	for n := range limit + 10 {
		b.Add(n + 1)
	}
	if lost.Load() != 10 || b.IsIdle() {
		t.Errorf("%d lost, want 10", lost.Load())
	}
	close(free)
	for want := range limit + 1 {
		if got := <-told; got != want {
			t.Fatalf("told %d, want %d", got, want)
		}
	}
}

// TestGoexit: who ends the goroutine silences nothing that comes later.
func TestGoexit(t *testing.T) {
	const items = 100
	told := make(chan int, items)
	b := Backlog[int]{Limit: items, Lost: new(atomic.Uint64), Tell: func(n int) {
		told <- n
		runtime.Goexit()
	}}
	for n := range items {
		b.Add(n)
	}
	for want := range items {
		if got := <-told; got != want {
			t.Fatalf("told %d, want %d", got, want)
		}
	}
}

// TestInbox: the reader is to be woken once for all that comes until it takes it.
func TestInbox(t *testing.T) {
	var b Inbox[int]
	for range 2 {
		if !b.Put(1) || b.Put(2) {
			t.Error("the reader is to be woken by the first alone")
		}
		if items := b.Take(); !slices.Equal(items, []int{1, 2}) {
			t.Errorf("taken: %v", items)
		}
	}
	if items := b.Take(); items != nil {
		t.Errorf("taken: %v", items)
	}
}
