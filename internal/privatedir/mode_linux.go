package privatedir

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// prepareMode sets the mode of a socket that is not bound yet. Its file will have that mode. 0
// changes nothing.
func prepareMode(fd int, mode fs.FileMode) error {
	if mode == 0 {
		return nil
	}
	return unix.Fchmod(fd, uint32(mode.Perm()))
}

// setMode does nothing: the file has its mode from prepareMode.
func setMode(string, fs.FileMode) error { return nil }
