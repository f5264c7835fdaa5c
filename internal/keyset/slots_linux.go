package keyset

import (
	"golang.org/x/sys/unix"
)

// ownMemoryMinimum is the smallest slice in bytes that gets memory of its own. A huge page has 2
// MiB on most machines.
const ownMemoryMinimum = 8 << 20

// newSlots returns a zeroed slice, and what gives it back; nil: the garbage collector does.
//
// A large slice is not in Go's heap. There it would make the collector run, which takes processors
// away from decisions for as long as it needs for everything else that the program has. The system
// is asked for huge pages: look-ups read a table in random order, and with small pages each one
// costs a TLB miss besides the cache miss.
func newSlots(size int) (slots []byte, free func([]byte)) {
	if size < ownMemoryMinimum {
		return make([]byte, size), nil
	}
	slots, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, size), nil
	}
	_ = unix.Madvise(slots, unix.MADV_HUGEPAGE) // a hint
	return slots, func(slots []byte) { _ = unix.Munmap(slots) }
}
