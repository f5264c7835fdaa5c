package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/passhash"
)

// editPasswords replaces a password file in one step by the result of edit. If the path is a
// symbolic link, it replaces the file that the link leads to. Processes that edit files of the same
// directory take turns, so that no change is lost. The end of ctx ends the wait for a turn.
func editPasswords(
	ctx context.Context, path string, create bool, edit func(content []byte) ([]byte, error),
) error {
	if err := editFile(ctx, path, create, edit); err != nil {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	return nil
}

// editFile is editPasswords without the path in its errors.
func editFile(
	ctx context.Context, path string, create bool, edit func(content []byte) ([]byte, error),
) error {
	target, err := filepath.EvalSymlinks(path)
	_, absent := os.Lstat(path) // nil for a link that leads nowhere, which is an error
	if errors.Is(err, fs.ErrNotExist) && create && absent != nil {
		target = path
	} else if err != nil {
		return err
	}
	release, err := lockPasswords(ctx, target)
	if err != nil {
		return err
	}
	defer release()
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

// lockTime is how long to wait for other processes that edit the file. Each of them takes far less,
// because it has asked for the password and hashed it before.
const lockTime = 10 * time.Second

// lockPasswords waits until it is this process's turn to edit a password file. The file cannot have
// the lock itself: it is replaced, and a file of hashes may be for everybody to read. Root takes
// the lock of the file's owner, who may edit it, too.
//
// Nobody else can stop this process: where somebody has made a file of the lock's name, there is no
// turn. Then only the check when the file is replaced stands against the loss of a change.
func lockPasswords(ctx context.Context, path string) (release func(), err error) {
	owner := os.Geteuid()
	if stamp, err := files.StampOf(path); err == nil && owner == 0 {
		owner, _ = stamp.Owner()
	}
	lock, err := files.TakeLock(ctx, filepath.Dir(path), owner, lockTime)
	switch {
	case err == nil:
		return lock.Release, nil
	case errors.Is(err, files.ErrForeignLock):
		return func() {}, nil
	}
	return nil, err
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
