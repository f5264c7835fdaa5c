//go:build unix

package files

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/pause"
)

// openFlags open a file without waiting, such as for the writer of a FIFO.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// Read reads a regular file of at most limit bytes. It uses buffer if that is large enough, and a
// new one otherwise; nil is allowed. Anything but a regular file is refused without waiting for it:
// the error is EISDIR for a directory, otherwise ErrNotRegular. The Stamp is that of the file that
// was read. It is zero if there was no file to look at.
//
// Read makes four system calls, package os six. For a large directory that saves a fifth of the
// time.
func Read(path string, limit int, buffer []byte) ([]byte, Stamp, error) {
	return readAt(unix.AT_FDCWD, path, limit, buffer)
}

// readAt is Read for a path that begins in an open directory.
func readAt(dir int, path string, limit int, buffer []byte) ([]byte, Stamp, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(dir, path, openFlags, 0) })
	if err != nil {
		return nil, Stamp{}, err
	}
	defer unix.Close(fd)
	info, err := fstat(fd)
	if err != nil {
		return nil, Stamp{}, err
	}
	stamp := newStamp(&info)
	switch kind := info.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return nil, stamp, unix.EISDIR
	case kind != unix.S_IFREG:
		return nil, Stamp{}, ErrNotRegular
	case info.Size > int64(limit):
		return nil, stamp, fmt.Errorf("larger than %d bytes", limit)
	}
	if need := max(int(info.Size)+1, MinBuffer); cap(buffer) < need {
		buffer = make([]byte, need)
	}
	data, err := readUpTo(fd, int(info.Size), buffer[:cap(buffer)])
	return data, stamp, err
}

// maxRead is how many bytes are read at once. The system lets nobody else run meanwhile.
const maxRead = 256 << 10

// readUpTo reads size bytes, or until the end of the file if that comes first.
func readUpTo(fd, size int, buffer []byte) ([]byte, error) {
	n := 0
	for {
		part := buffer[n:min(len(buffer), n+maxRead)]
		got, err := retry(func() (int, error) { return unix.Read(fd, part) })
		if err != nil {
			return nil, err
		}
		if n += got; got == maxRead {
			pause.Now()
		}
		switch {
		case n == len(buffer):
			return nil, ErrGrowing
		case got == 0 || n == size:
			return buffer[:n], nil
		}
	}
}

// retry repeats a system call that a signal of the Go runtime has interrupted. That happens on
// network file systems.
func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}
