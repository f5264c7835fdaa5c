package zmqauth

import (
	"errors"
	"fmt"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// FileError is what is wrong with a file: a certificate, a password file, a policy. Its text is
// "zmqauth: FILE:LINE: what", and it never repeats what the file holds where that could be a
// secret.
type FileError struct {
	File string // as it was given, or the directory joined with the file's name
	Line int    // from 1; 0: the file as a whole
	Err  error  // what is wrong; never nil
}

// Error is "zmqauth: FILE:LINE: what", or "zmqauth: FILE: what" if the fault is not in one line.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("zmqauth: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("zmqauth: %s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap is Err, so that errors.Is finds fs.ErrNotExist, fs.ErrExist, fs.ErrPermission.
func (e *FileError) Unwrap() error { return e.Err }

// fileError names file in an error of package os or of internal/files. It drops the path that the
// error has in it: that may be a temporary file's.
func fileError(file string, err error) *FileError {
	return &FileError{File: file, Err: files.Bare(err)}
}

// followError is fileError for an error of internal/follow. An error of the target names its file
// already.
func followError(file string, err error) error {
	if errors.Is(err, follow.ErrClosed) {
		return ErrClosed
	}
	if named, ok := errors.AsType[*FileError](err); ok {
		return named
	}
	return fileError(file, err)
}

// zplError names file in an error of package zpl, and takes its line over.
func zplError(file string, err error) *FileError {
	if fault, ok := errors.AsType[*zpl.Error](err); ok {
		return &FileError{File: file, Line: fault.Line, Err: fault.Err}
	}
	return &FileError{File: file, Err: err}
}
