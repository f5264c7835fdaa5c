//go:build !linux

package keyset

// preferHugePages does nothing on this system.
func preferHugePages([]byte) {}
