package files

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Stamp tells whether a file is the one that was read, and unchanged. Two of the same file are
// equal (==) where nothing has happened to it. The zero value is no file's.
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

// StampOf is the stamp of the file that path leads to.
func StampOf(path string) (Stamp, error) {
	file, err := os.Open(path)
	if err != nil {
		return Stamp{}, Bare(err)
	}
	defer file.Close()
	return newStamp(file)
}

// Owner is -1 and -1: there are no such numbers here.
func (s Stamp) Owner() (uid, gid int) { return -1, -1 }

// Size is the file's length in bytes.
func (s Stamp) Size() int64 { return s.size }

// SameFile tells whether two stamps are of one file, whatever has happened to it between them.
func (s Stamp) SameFile(other Stamp) bool {
	return s.volume == other.volume && s.index == other.index
}

// Changed is when the file's content has changed last.
func (s Stamp) Changed() time.Time { return time.Unix(0, s.written.Nanoseconds()) }

// Check does nothing: who may write a file stands in its access control list, which is for the
// system's administrator to keep.
func (s Stamp) Check(string) error { return nil }

// CheckSecret does nothing, as Check.
func (s Stamp) CheckSecret(string) error { return nil }

// Read reads a regular file of at most limit bytes, into the buffer where that is large enough.
// Anything but a regular file is ErrNotRegular, or EISDIR for a directory.
func Read(path string, limit int, buffer []byte) ([]byte, Stamp, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, Stamp{}, Bare(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, Stamp{}, Bare(err)
	}
	switch {
	case info.IsDir():
		return nil, Stamp{}, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, Stamp{}, ErrNotRegular
	}
	stamp, err := newStamp(file)
	if err != nil {
		return nil, Stamp{}, err
	}
	if stamp.size > int64(limit) {
		return nil, stamp, fmt.Errorf("larger than %d bytes", limit)
	}
	if need := max(int(stamp.size)+1, MinBuffer); cap(buffer) < need {
		buffer = make([]byte, need)
	}
	n, err := io.ReadFull(file, buffer[:cap(buffer)])
	if err == nil { // it is full
		return nil, stamp, ErrGrowing
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, stamp, Bare(err)
	}
	return buffer[:n], stamp, nil
}
