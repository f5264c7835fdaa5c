package zmqauth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/zmqauth/zmqauth/internal/zpl"
)

// FileError is what is wrong with a file: a certificate, a password file, a policy. Its text is
// "zmqauth: FILE:LINE: what", and it never repeats what the file holds where that could be a secret.
type FileError struct {
	File string // as it was given, or the directory joined with the file's name
	Line int    // from 1; 0: the file as a whole
	Err  error  // what is wrong; never nil
}

// Error is "zmqauth: FILE:LINE: what", without ":LINE" where the fault is no line's.
func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("zmqauth: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("zmqauth: %s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap is Err, so that errors.Is finds fs.ErrNotExist, fs.ErrExist, fs.ErrPermission.
func (e *FileError) Unwrap() error { return e.Err }

// fileError names file in an error of package os, whose own mention of a path (a second one, or that of a temporary
// file) it drops.
func fileError(file string, err error) *FileError {
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		err = pathErr.Err
	case errors.As(err, &linkErr):
		err = linkErr.Err
	}
	return &FileError{File: file, Err: err}
}

// zplError names file in an error of package zpl, and takes its line over.
func zplError(file string, err error) *FileError {
	if fault, ok := errors.AsType[*zpl.Error](err); ok {
		return &FileError{File: file, Line: fault.Line, Err: fault.Err}
	}
	return &FileError{File: file, Err: err}
}
