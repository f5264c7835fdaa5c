//go:build unix

package files

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Stamp tells whether a file is the one that was read, and unchanged. Two of the same file are
// equal (==) where nothing has happened to it. The zero value is no file's.
type Stamp struct {
	device, inode uint64
	size          int64
	written       unix.Timespec // its content: two writes within one second differ
	changed       unix.Timespec // its inode: a rename, another mode, a time that was set back
	mode          fs.FileMode   // the permissions, and fs.ModeSticky
	uid, gid      uint32
}

func newStamp(info *unix.Stat_t) Stamp {
	mode := fs.FileMode(info.Mode & 0o777)
	if info.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return Stamp{
		device: uint64(info.Dev), inode: info.Ino, size: info.Size,
		written: info.Mtim, changed: info.Ctim, mode: mode, uid: info.Uid, gid: info.Gid,
	}
}

// StampOf is the stamp of the file that path leads to. Symbolic links are followed.
func StampOf(path string) (Stamp, error) {
	var info unix.Stat_t
	if _, err := retry(func() (int, error) { return 0, unix.Stat(path, &info) }); err != nil {
		return Stamp{}, err
	}
	return newStamp(&info), nil
}

// Owner is the user and the group that the file belongs to.
func (s Stamp) Owner() (uid, gid int) { return int(s.uid), int(s.gid) }

// Size is the file's length in bytes.
func (s Stamp) Size() int64 { return s.size }

// SameFile tells whether two stamps are of one file, whatever has happened to it between them.
func (s Stamp) SameFile(other Stamp) bool {
	return s.device == other.device && s.inode == other.inode
}

// Changed is when anything about the file has changed last, be it its content, name or mode.
func (s Stamp) Changed() time.Time { return time.Unix(s.changed.Unix()) }
