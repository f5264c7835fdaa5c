//go:build unix && !linux

package privatedir

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// prepareMode has nothing to do: only Linux gives the file of a socket the socket's mode.
func prepareMode(int, fs.FileMode) error { return nil }

// setMode gives the file of a socket that does not listen yet its mode; 0: any.
func setMode(path string, mode fs.FileMode) error {
	if mode == 0 {
		return nil
	}
	var info unix.Stat_t
	if err := unix.Lstat(path, &info); err != nil {
		return err
	}
	perm := uint32(mode.Perm()) & uint32(info.Mode) // it had all bits but the umask's
	return unix.Fchmodat(unix.AT_FDCWD, path, perm, unix.AT_SYMLINK_NOFOLLOW)
}
