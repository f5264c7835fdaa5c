package sshtunnel

import (
	"io"
	"testing"
	"time"
)

// TestPauses: attempts come at growing intervals, and there is always a pause.
func TestPauses(t *testing.T) {
	for err, want := range map[error]time.Duration{
		nil: maxPause, io.EOF: maxPause, &AuthError{}: maxRefusedPause,
		error(&HostKeyError{Err: ErrHostKeyChanged}): maxRefusedPause,
	} {
		if got := longestPause(err); got != want {
			t.Errorf("%s at most after %v, want %s", got, err, want)
		}
	}
	for tries := range 40 {
		for range 20 {
			d := pause(tries, maxPause)
			want := maxPause
			if tries <= 8 {
				want = firstPause << tries // 25.6 s at most
			}
			if d < want/2 || d >= want {
				t.Fatalf("%s after %d attempts, want from %s to %s", d, tries, want/2, want)
			}
		}
	}
}
