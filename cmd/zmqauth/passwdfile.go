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
		return fmt.Errorf("%s: %w", path, cause(err))
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
	content, of, err := readPasswords(target, create)
	if err != nil {
		return err
	}
	defer clear(content)
	edited, err := edit(content)
	if err != nil {
		return err
	}
	return replaceFile(dir, target, edited, of)
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

// owner is the user and the group of a file.
type owner struct{ uid, gid int }

// readPasswords reads a password file. of is its owner. With create, a missing file is not an
// error: the content and of are nil then.
func readPasswords(path string, create bool) (content []byte, of *owner, err error) {
	content, stamp, err := files.Read(path, passhash.MaxFileSize, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		return nil, nil, nil
	case errors.Is(err, syscall.EISDIR):
		return nil, nil, files.ErrNotRegular
	case err != nil:
		return nil, nil, err
	}
	of = &owner{}
	of.uid, of.gid = stamp.Owner()
	return content, of, nil
}

// replaceFile replaces a file by a new one with mode 0600. The new file gets the owner of, unless
// that is nil.
func replaceFile(dir *os.File, path string, content []byte, of *owner) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".zmqauth-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // it has another name once all went well
	if err := errors.Join(fill(file, content, of), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	_ = dir.Sync() // some file systems do not support it
	return nil
}

// fill writes the content of a new file and gives it to its owner.
func fill(file *os.File, content []byte, of *owner) error {
	if of != nil && *of != (owner{os.Geteuid(), os.Getegid()}) {
		if err := file.Chown(of.uid, of.gid); err != nil {
			return fmt.Errorf("it belongs to another user, and cannot be given to that one: %w",
				cause(err))
		}
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Sync()
}
