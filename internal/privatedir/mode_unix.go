//go:build unix && !linux

package privatedir

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// prepareMode does nothing: only on Linux does the file of a socket get the socket's mode.
func prepareMode(int, fs.FileMode) error { return nil }

// setMode sets the mode of the file of a socket that does not listen yet. 0 changes nothing.
func setMode(path string, mode fs.FileMode) error {
	if mode == 0 {
		return nil
	}
	var info unix.Stat_t
	if err := unix.Lstat(path, &info); err != nil {
		return err
	}
	perm := uint32(mode.Perm()) & uint32(info.Mode) // the file has all bits except those of the umask
	return unix.Fchmodat(unix.AT_FDCWD, path, perm, unix.AT_SYMLINK_NOFOLLOW)
}
