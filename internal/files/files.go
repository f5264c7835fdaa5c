// Package files reads the files that a program trusts: certificates, keys, passwords, policies.
//
// There is one reader for all of them, [Read], and one rule of trust, [Stamp.Check] and
// [Stamp.CheckSecret]. Errors name no path: the caller knows which one he gave.
package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// What is wrong with a file, to be tested with errors.Is.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrGrowing    = errors.New("it grows while it is read")
)

// MinBuffer is the least that Read reads into, in bytes. No certificate that tools write needs
// more, and most files that do not tell their size fit.
const MinBuffer = 4 << 10

// Bare is an error of package os without the path in it, which may be that of a temporary file.
func Bare(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	if linkErr, ok := errors.AsType[*os.LinkError](err); ok {
		return linkErr.Err
	}
	return err
}

// IsGone tells whether an error means that nothing is there, rather than that it cannot be read.
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// IsTransient tells whether an error says nothing about a file, but about the system's state: too
// many open files, no memory, a device that fails. It is worth another try.
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
