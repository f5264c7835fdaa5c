package hugepage

import (
	"os"

	"golang.org/x/sys/unix"
)

// Prefer asks for huge pages behind a slice, if it is large and begins with a page, as large ones do. It is a hint that
// changes no contents: on a system that gives none nothing happens.
func Prefer(bytes []byte) {
	if len(bytes) >= least {
		_ = unix.Madvise(bytes[:len(bytes)&^(os.Getpagesize()-1)], unix.MADV_HUGEPAGE)
	}
}
