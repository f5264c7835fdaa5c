// Package files reads the files that a program trusts: certificates, keys, passwords, policies.
//
// There is one reader for all of them, [Read], and one rule of trust, [Stamp.Check] and
// [Stamp.CheckSecret]. Errors do not contain the path: the caller knows it.
package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// The faults of a file that callers test with errors.Is.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrGrowing    = errors.New("it grows while it is read")
)

// MinBuffer is the smallest buffer that Read uses, in bytes. It is large enough for every
// certificate that tools write, and for most files that do not report their size.
const MinBuffer = 4 << 10

// Bare returns an error of package os without its path. The path may be that of a temporary file.
func Bare(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	if linkErr, ok := errors.AsType[*os.LinkError](err); ok {
		return linkErr.Err
	}
	return err
}

// IsGone reports whether an error means that the file does not exist, and not that it cannot be
// read.
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// IsTransient reports whether an error is about the state of the system and not about the file: too
// many open files, no memory, a failing device. Another try may succeed.
func IsTransient(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return errors.Is(err, ErrGrowing)
	}
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.EACCES,
		syscall.EPERM, syscall.ENXIO:
		return false
	}
	return true
}
