package session

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestSignalIsNoEnd: a signal that comes while the kernel is asked does not make a connection seem
// to have ended.
func TestSignalIsNoEnd(t *testing.T) {
	handle, err := handleOf(accepted(t))
	must.OK(t, err)
	var thread atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		thread.Store(int64(unix.Gettid()))
		for n := range 100_000 {
			if handle.hasEnded() {
				t.Errorf("after %d calls it has ended", n)
				return
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			if id := thread.Load(); id != 0 {
				_ = unix.Tgkill(os.Getpid(), int(id), unix.SIGURG) // what Go's runtime sends
			}
		}
	}
}
