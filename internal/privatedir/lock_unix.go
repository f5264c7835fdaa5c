//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatedir

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockTimeout is how long to wait for other processes that bind in the same directory. It is
	// longer than one of them takes. It is limited, because anybody who can read the directory can
	// keep it locked.
	lockTimeout = 3 * dialTimeout
	// lockInterval is the time between two attempts to get the lock.
	lockInterval = 2 * time.Millisecond
)

// lock locks a directory. It waits until ctx ends or lockTimeout is over. locked is false if that
// fails, if the directory cannot be read, or if the file system has no locks.
func lock(ctx context.Context, dir string) (unlock func(), locked bool) {
	file, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0) // does not wait for a FIFO
	if err != nil {
		return func() {}, false
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	for {
		switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return func() { _ = file.Close() }, true // closing ends the lock
		case unix.EWOULDBLOCK, unix.EINTR:
		default:
			_ = file.Close()
			return func() {}, false
		}
		select {
		case <-time.After(lockInterval):
		case <-ctx.Done():
			_ = file.Close()
			return func() {}, false
		}
	}
}
