//go:build unix

package files

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

// CheckDirectory is the rule of trust for a directory in which a program makes files. Only root and
// this user may be able to replace what is in it, and what is in the directories above it. A
// directory in which others can write must have the sticky bit, as /tmp has. The error names the
// directory and the command that mends it.
//
// The path must be absolute and without symbolic links: see [filepath.EvalSymlinks].
func CheckDirectory(path string) error {
	for {
		stamp, err := StampOf(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := stamp.checkDirectory(path, readerOf(stamp)); err != nil {
			return err
		}
		if stamp.mode&groupWrite != 0 && stamp.mode&fs.ModeSticky == 0 {
			if err := stamp.checkList(path, listWrite); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		above := filepath.Dir(path)
		if above == path {
			return nil
		}
		path = above
	}
}

// CheckParent is CheckDirectory for the directory in which the file at path is to be made. Symbolic
// links to it are followed. A directory that does not exist is no error: whoever makes the file
// gets a better one.
func CheckParent(path string) error {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err == nil {
		err = CheckDirectory(dir)
	}
	if IsGone(err) {
		return nil
	}
	return err
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
