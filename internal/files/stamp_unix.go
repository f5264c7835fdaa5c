//go:build unix

package files

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Stamp identifies a file and its state. Two stamps are equal (==) if they are of the same file and
// nothing has changed between them. The zero value is the stamp of no file.
type Stamp struct {
	device, inode uint64
	size          int64
	written       int64       // the time of its content, in nanoseconds since 1970
	changed       int64       // the time of its inode: shows a rename, a new mode, a forged time
	mode          fs.FileMode // the permissions, and fs.ModeSticky
	uid, gid      uint32
}

func newStamp(info *unix.Stat_t) Stamp {
	mode := fs.FileMode(info.Mode & 0o777)
	if info.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return Stamp{
		device: uint64(info.Dev), inode: info.Ino, size: info.Size,
		written: info.Mtim.Nano(), changed: info.Ctim.Nano(), mode: mode, uid: info.Uid, gid: info.Gid,
	}
}

// StampOf returns the stamp of the file at path. It follows symbolic links.
func StampOf(path string) (Stamp, error) {
	var info unix.Stat_t
	if _, err := retry(func() (int, error) { return 0, unix.Stat(path, &info) }); err != nil {
		return Stamp{}, err
	}
	return newStamp(&info), nil
}

// stampOf returns the stamp of an open file.
func stampOf(fd int) (Stamp, error) {
	info, err := fstat(fd)
	if err != nil {
		return Stamp{}, err
	}
	return newStamp(&info), nil
}

func fstat(fd int) (info unix.Stat_t, err error) {
	_, err = retry(func() (int, error) { return 0, unix.Fstat(fd, &info) })
	return info, err
}

// Owner returns the user and the group that the file belongs to.
func (s Stamp) Owner() (uid, gid int) { return int(s.uid), int(s.gid) }

// Size returns the file's length in bytes.
func (s Stamp) Size() int64 { return s.size }

// SameFile reports whether two stamps are of the same file, even if it has changed between them.
func (s Stamp) SameFile(other Stamp) bool {
	return s.device == other.device && s.inode == other.inode
}

// ID distinguishes a file from all others that exist at the time. It is comparable. The zero value
// is that of no file.
type ID struct{ device, inode uint64 }

// ID returns what SameFile compares, as the key of a map.
func (s Stamp) ID() ID { return ID{s.device, s.inode} }

// Changed returns when anything about the file changed last: its content, name or mode.
func (s Stamp) Changed() time.Time { return time.Unix(0, s.changed) }
