//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd

package privatedir

import "context"

// lock never locks: this system has no flock(2).
func lock(context.Context, string) (unlock func(), locked bool) { return func() {}, false }
