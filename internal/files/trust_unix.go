//go:build unix

package files

import (
	"fmt"
	"io/fs"
	"os"
)

// Permission bits (chmod(2)).
const (
	groupWrite  fs.FileMode = 0o020
	groupRead   fs.FileMode = 0o040
	othersWrite fs.FileMode = 0o002
	othersAny   fs.FileMode = 0o007
)

// reader is the user and group of the process that reads the files.
type reader struct{ uid, gid uint32 }

// readerOf returns the ids of this process that matter for s. It asks the system only for those:
// otherwise it would add a thirtieth to the time for a large directory.
func readerOf(s Stamp) (by reader) {
	if s.uid != 0 {
		by.uid = uint32(os.Geteuid())
	}
	if s.gid != 0 && s.mode&groupWrite != 0 {
		by.gid = uint32(os.Getegid())
	}
	return by
}

// Check is the rule of trust for files that are in force: certificates, password files, policies,
// directories of certificates. The file must belong to root or to the user who reads it. No other
// user may be able to write it; root's group and the group of the user who reads it may. On Linux
// that holds for its access control list, too. The error says what is wrong with path and which
// command mends it. It is ErrChanged where the list matters and path leads to another file by now.
func (s Stamp) Check(path string) error {
	if err := s.check(path, readerOf(s)); err != nil || s.mode&groupWrite == 0 {
		return err
	}
	return s.checkList(path, listWrite)
}

// CheckSecret is Check for files with secrets. In addition, not every user may be able to read it.
// Its group may, and those whom the rule lets write it.
func (s Stamp) CheckSecret(path string) error {
	if err := s.Check(path); err != nil {
		return err
	}
	if s.mode&othersAny != 0 {
		return fmt.Errorf("a secret that others can reach (mode %04o): chmod o-rwx %s",
			s.mode.Perm(), path)
	}
	if s.mode&groupRead == 0 {
		return nil
	}
	return s.checkList(path, listRead)
}

func (s Stamp) check(path string, by reader) error {
	switch {
	case s.uid != 0 && s.uid != by.uid:
		return fmt.Errorf("user %d owns it, who is neither root nor the user that reads it (%d): "+
			"chown %d %s", s.uid, by.uid, by.uid, path)
	case s.mode&othersWrite != 0:
		return fmt.Errorf("others can write it (mode %04o): chmod o-w %s", s.mode.Perm(), path)
	case s.mode&groupWrite != 0 && s.gid != 0 && s.gid != by.gid:
		return fmt.Errorf("group %d can write it, which is not that of the user that reads it "+
			"(mode %04o): chmod g-w %s", s.gid, s.mode.Perm(), path)
	}
	return nil
}
