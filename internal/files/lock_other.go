//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd

package files

import (
	"context"
	"errors"
	"time"
)

// TakeLock returns errors.ErrUnsupported: this system has no flock(2).
func TakeLock(context.Context, string, int, time.Duration) (*Lock, error) {
	return nil, errors.ErrUnsupported
}
