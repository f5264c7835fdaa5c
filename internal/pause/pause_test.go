package pause

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// TestSteps: on one processor another goroutine gets its turn while the work goes on.
func TestSteps(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var answered atomic.Bool
	go answered.Store(true)
	var p Pauses
	for range often {
		p.Step()
	}
	if !answered.Load() {
		t.Error("the other goroutine had no turn")
	}
}

func BenchmarkStep(b *testing.B) {
	var p Pauses
	for b.Loop() {
		p.Step()
	}
}
