package files

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Read reads a regular file of at most limit bytes. It uses buffer if that is large enough, and a
// new one otherwise; nil is allowed. The error for anything but a regular file is EISDIR for a
// directory, otherwise ErrNotRegular.
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
	if err == nil { // the buffer is full
		return nil, stamp, ErrGrowing
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, stamp, Bare(err)
	}
	return buffer[:n], stamp, nil
}
