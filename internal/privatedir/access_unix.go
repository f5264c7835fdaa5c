//go:build unix && !linux

package privatedir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// errReplaced is never returned on this system.
var errReplaced = errors.New("another file has taken the place of the socket")

// grant puts a in force for a bound socket that does not listen yet. It follows no link. Whoever
// can write the directory can still put another file there at that moment: ListenFile refuses
// directories of strangers.
func (a Access) grant(_ int, path string) error {
	if a.Group != nil {
		if err := unix.Lchown(path, -1, *a.Group); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	if a.Mode == 0 {
		return nil
	}
	mode := uint32(a.Mode.Perm())
	return os.NewSyscallError("chmod",
		unix.Fchmodat(unix.AT_FDCWD, path, mode, unix.AT_SYMLINK_NOFOLLOW))
}
