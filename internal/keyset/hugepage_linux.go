package keyset

import (
	"os"

	"golang.org/x/sys/unix"
)

// hugePageMinimum is how many bytes are worth huge pages: several of Linux's, which have 2 MiB on
// most machines.
const hugePageMinimum = 8 << 20

// preferHugePages asks the system for huge pages behind a large slice. A table that is read in no
// order waits for the memory at each look-up, and with small pages once more for the page's
// address. Large slices begin with a page, as madvise(2) wants it. It is a hint that changes no
// contents: on a system that has no huge pages nothing happens.
func preferHugePages(bytes []byte) {
	if len(bytes) >= hugePageMinimum {
		_ = unix.Madvise(bytes[:len(bytes)&^(os.Getpagesize()-1)], unix.MADV_HUGEPAGE)
	}
}
