package privatedir

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// prepareMode gives a socket that is not bound yet the mode that its file will have; 0: any.
func prepareMode(fd int, mode fs.FileMode) error {
	if mode == 0 {
		return nil
	}
	return unix.Fchmod(fd, uint32(mode.Perm()))
}

// setMode has nothing to do any more.
func setMode(string, fs.FileMode) error { return nil }
