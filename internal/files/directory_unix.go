//go:build unix

package files

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// CheckDirectory is the rule of trust for a directory in which something is to be made. Nobody but
// root and this user can put something else in its place, neither in that directory nor in one
// above it. One in which others can write has the sticky bit, as /tmp has. The error names the
// directory and the command that mends it.
//
// The path is absolute and has no symbolic link in it: see [filepath.EvalSymlinks].
func CheckDirectory(path string) error {
	for {
		stamp, err := StampOf(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := stamp.checkDirectory(path, readerOf(stamp)); err != nil {
			return err
		}
		above := filepath.Dir(path)
		if above == path {
			return nil
		}
		path = above
	}
}

func (s Stamp) checkDirectory(path string, by reader) error {
	switch {
	case s.uid != 0 && s.uid != by.uid:
		return fmt.Errorf("%s: user %d owns it, who is neither root nor this user (%d): chown %d %s",
			path, s.uid, by.uid, by.uid, path)
	case s.mode&fs.ModeSticky != 0:
		return nil
	case s.mode&othersWrite != 0:
		return fmt.Errorf("%s: others can rename what is in it (mode %04o): chmod +t %s",
			path, s.mode.Perm(), path)
	case s.mode&groupWrite != 0 && s.gid != 0 && s.gid != by.gid:
		return fmt.Errorf("%s: group %d can rename what is in it (mode %04o): chmod +t %s",
			path, s.gid, s.mode.Perm(), path)
	}
	return nil
}
