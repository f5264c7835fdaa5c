//go:build !linux

package hugepage

// Prefer does nothing on this system.
func Prefer([]byte) {}
