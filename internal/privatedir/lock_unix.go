//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatedir

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockTime is how long to wait for others who bind in the same directory. It is more than one
	// of them takes, and bounded, as anybody who can read the directory can hold its lock.
	lockTime = 3 * dialTime
	// lockPause is the time between two looks at a lock that somebody else has.
	lockPause = 2 * time.Millisecond
)

// lock waits for its turn in a directory, until ctx ends or lockTime is over. It is not locked
// where that fails, or where the directory cannot be read or has no locks.
func lock(ctx context.Context, dir string) (unlock func(), locked bool) {
	file, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0) // and not wait for a FIFO
	if err != nil {
		return func() {}, false
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	for {
		switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return func() { _ = file.Close() }, true // which ends the lock
		case unix.EWOULDBLOCK, unix.EINTR:
		default:
			_ = file.Close()
			return func() {}, false
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			_ = file.Close()
			return func() {}, false
		}
	}
}
