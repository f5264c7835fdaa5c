package keyset

import (
	"os"

	"golang.org/x/sys/unix"
)

// hugePageMinimum is the smallest slice in bytes for which huge pages pay off. A huge page has 2
// MiB on most machines.
const hugePageMinimum = 8 << 20

// preferHugePages asks the system to use huge pages for a large slice. Look-ups read a table in
// random order, and with small pages each one costs a TLB miss besides the cache miss. Go's
// allocator aligns large slices to a page, which madvise(2) requires. The call is a hint: it
// changes no contents, and does nothing on a system without huge pages.
func preferHugePages(bytes []byte) {
	if len(bytes) >= hugePageMinimum {
		_ = unix.Madvise(bytes[:len(bytes)&^(os.Getpagesize()-1)], unix.MADV_HUGEPAGE)
	}
}
