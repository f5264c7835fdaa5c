package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurn: the waits double up to Max, a success ends them, and so does the end of the context.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn Turn
		for _, want := range []time.Duration{0, Min, 2 * Min, 4 * Min, 8 * Min, 16 * Min, Max, Max} {
			begun := time.Now()
			if !turn.Await(t.Context()) || time.Since(begun) != want {
				t.Errorf("waited for %v, want %v", time.Since(begun), want)
			}
			turn.Note(true)
		}
		ended, cancel := context.WithTimeout(t.Context(), Min)
		defer cancel()
		if turn.Await(ended) {
			t.Error("the context has ended")
		}
		turn.Note(false)
		begun := time.Now()
		if !turn.Await(t.Context()) || time.Since(begun) != 0 {
			t.Error("it waits after a success")
		}
	})
}
