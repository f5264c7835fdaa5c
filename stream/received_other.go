//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package stream

// receivedBy is true, as it cannot be known here: a silent client is not told from others.
func receivedBy(int, bool) bool { return true }
