//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockInterval is the time between two attempts to get a lock.
const lockInterval = 2 * time.Millisecond

// lockMode is the mode of a lock file. Nobody else can open it.
const lockMode = 0o600

// errBusy means that another attempt may get the lock.
var errBusy = errors.New("the lock is held")

// TakeLock takes the lock of a directory. There is one for each user, and owner is the id of that
// user: this process's own, or any user for root. The lock is a file of mode 0600 in the directory,
// which exists as long as the lock is held.
//
// TakeLock waits until patience is over or ctx ends: then the error is a *HeldError. It is
// ErrForeignLock where somebody else has made the file. Other errors are those of the system: the
// directory cannot be written, or the file system has no locks.
func TakeLock(
	ctx context.Context, dir string, owner int, patience time.Duration,
) (*Lock, error) {
	path := filepath.Join(dir, fmt.Sprintf(".zmqauth-%d.lock", owner))
	late := time.After(patience)
	for {
		file, err := tryLock(path, uint32(owner))
		if err == nil {
			return &Lock{path, file}, nil
		}
		if err != errBusy {
			return nil, err
		}
		select {
		case <-time.After(lockInterval):
		case <-late:
			return nil, &HeldError{Path: path, By: lockedBy(path)}
		case <-ctx.Done():
			return nil, &HeldError{path, lockedBy(path), ctx.Err()}
		}
	}
}

// tryLock makes one attempt. It does not wait.
func tryLock(path string, owner uint32) (*os.File, error) {
	fd, err := openLock(path, owner)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), path)
	switch err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); {
	case err == unix.EWOULDBLOCK || err == unix.EINTR:
		err = errBusy
	case err == nil && !isAt(path, file):
		err = errBusy // who held the lock before has removed the file
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// openLock opens the lock file, or makes it.
func openLock(path string, owner uint32) (fd int, err error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err = retry(func() (int, error) {
		return unix.Open(path, flags|unix.O_CREAT|unix.O_EXCL, lockMode)
	})
	if err == nil {
		return fd, finishLock(fd, path, owner)
	}
	if err != unix.EEXIST {
		return -1, err
	}
	if fd, err = retry(func() (int, error) { return unix.Open(path, flags, 0) }); err != nil {
		return -1, whyClosed(path, owner, err)
	}
	var info unix.Stat_t
	if _, err = retry(func() (int, error) { return 0, unix.Fstat(fd, &info) }); err == nil {
		err = judgeLock(&info, owner)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// finishLock sets the mode of a new lock file, whatever the umask. It gives root's file to the user
// whose lock it is: that user must be able to take the lock if root's process is killed.
func finishLock(fd int, path string, owner uint32) error {
	err := unix.Fchmod(fd, lockMode)
	if err == nil && owner != uint32(os.Geteuid()) {
		err = unix.Fchown(fd, int(owner), -1)
	}
	if err != nil {
		_ = unix.Unlink(path)
		_ = unix.Close(fd)
	}
	return err
}

// whyClosed tells what it means that a lock file exists and cannot be opened.
func whyClosed(path string, owner uint32, cause error) error {
	var info unix.Stat_t
	switch err := unix.Lstat(path, &info); {
	case err == unix.ENOENT:
		return errBusy
	case err != nil:
		return err
	}
	err := judgeLock(&info, owner)
	switch {
	case err != nil:
		return err
	case cause == unix.EACCES || cause == unix.ENOENT:
		return errBusy // it is being made, or is removed and made anew
	}
	return cause
}

// judgeLock tells whether a file can be the lock of a user. A file that others could open is none,
// and neither is one with a second name, which is another file of that user.
func judgeLock(info *unix.Stat_t, owner uint32) error {
	switch {
	case info.Nlink == 0:
		return errBusy // removed meanwhile
	case info.Mode&unix.S_IFMT != unix.S_IFREG || info.Nlink > 1:
		return ErrForeignLock
	case info.Uid == 0 && owner != 0:
		return errBusy // root makes it, and will give it to the owner
	case info.Uid != owner || info.Mode&0o077 != 0:
		return ErrForeignLock
	}
	return nil
}
