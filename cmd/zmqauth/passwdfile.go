package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/passhash"
)

// editPasswords replaces a password file in one step by the result of edit. If the path is a
// symbolic link, it replaces the file that the link leads to. Processes that edit files of the same
// directory take turns, so that no change is lost.
func editPasswords(path string, create bool, edit func(content []byte) ([]byte, error)) error {
	if err := editFile(path, create, edit); err != nil {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	return nil
}

// editFile is editPasswords without the path in its errors.
func editFile(path string, create bool, edit func(content []byte) ([]byte, error)) error {
	target, err := filepath.EvalSymlinks(path)
	_, absent := os.Lstat(path) // nil for a link that leads nowhere, which is an error
	if errors.Is(err, fs.ErrNotExist) && create && absent != nil {
		target = path
	} else if err != nil {
		return err
	}
	dir, err := lockDirectory(filepath.Dir(target))
	if err != nil {
		return err
	}
	defer dir.Close() // releases the lock
	content, stamp, err := readPasswords(target, create)
	if err != nil {
		return err
	}
	defer clear(content)
	edited, err := edit(content)
	if err != nil {
		return err
	}
	if stamp == (files.Stamp{}) {
		return files.WriteNew(target, edited, 0o600)
	}
	return files.Replace(target, stamp, edited)
}

// lockDirectory opens a directory and waits for its lock. The password file cannot have the lock
// itself, because it is replaced. A lock file beside it would stay for ever.
func lockDirectory(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("locking its directory: %w", err)
	}
	return dir, nil
}

// readPasswords reads a password file. With create, a missing file is not an error: content is nil
// then, and stamp is zero.
func readPasswords(path string, create bool) (content []byte, stamp files.Stamp, err error) {
	content, stamp, err = files.Read(path, passhash.MaxFileSize, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		return nil, files.Stamp{}, nil
	case errors.Is(err, syscall.EISDIR):
		return nil, files.Stamp{}, files.ErrNotRegular
	case err != nil:
		return nil, files.Stamp{}, err
	}
	return content, stamp, nil
}
