package files

import (
	"os"
	"syscall"
	"time"
)

// Stamp identifies a file and its state. Two stamps are equal (==) if they are of the same file and
// nothing has changed between them. The zero value is the stamp of no file.
type Stamp struct {
	volume  uint32
	index   uint64
	size    int64
	written syscall.Filetime
}

func newStamp(file *os.File) (Stamp, error) {
	var info syscall.ByHandleFileInformation
	if err := syscall.GetFileInformationByHandle(syscall.Handle(file.Fd()), &info); err != nil {
		return Stamp{}, err
	}
	return Stamp{
		volume:  info.VolumeSerialNumber,
		index:   uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow),
		size:    int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow),
		written: info.LastWriteTime,
	}, nil
}

// StampOf returns the stamp of the file at path. It follows symbolic links.
func StampOf(path string) (Stamp, error) {
	file, err := os.Open(path)
	if err != nil {
		return Stamp{}, Bare(err)
	}
	defer file.Close()
	return newStamp(file)
}

// Owner returns -1 and -1: Windows has no numbers for users and groups.
func (s Stamp) Owner() (uid, gid int) { return -1, -1 }

// Size returns the file's length in bytes.
func (s Stamp) Size() int64 { return s.size }

// SameFile reports whether two stamps are of the same file, even if it has changed between them.
func (s Stamp) SameFile(other Stamp) bool {
	return s.volume == other.volume && s.index == other.index
}

// ID distinguishes a file from all others that exist at the time. It is comparable. The zero value
// is that of no file.
type ID struct {
	volume uint32
	index  uint64
}

// ID returns what SameFile compares, as the key of a map.
func (s Stamp) ID() ID { return ID{s.volume, s.index} }

// Changed returns when the file's content changed last.
func (s Stamp) Changed() time.Time { return time.Unix(0, s.written.Nanoseconds()) }
