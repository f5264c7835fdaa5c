//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// lockPath is where the lock of this user is.
func lockPath(dir string) string {
	return filepath.Join(dir, fmt.Sprintf(".zmqauth-%d.lock", os.Geteuid()))
}

// names are those of the files in a directory.
func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// TestLockTakesTurns: of many only one at a time has the lock, and no file is left.
func TestLockTakesTurns(t *testing.T) {
	dir := t.TempDir()
	count, inside := 0, make(chan struct{}, 1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				lock, err := TakeLock(context.Background(), dir, os.Geteuid(), time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case inside <- struct{}{}:
				default:
					t.Error("two have the lock")
				}
				if info, err := os.Lstat(lockPath(dir)); err != nil || info.Mode() != lockMode {
					t.Errorf("%v, %v", info, err)
				}
				count++
				<-inside
				lock.Release()
			}
		})
	}
	all.Wait()
	if left := names(t, dir); count != 8*25 || len(left) > 0 {
		t.Errorf("%d turns, left: %q", count, left)
	}
}

// TestLockIsHeld: the wait ends with patience or with the context, and the error says who has the
// lock. What others can open does not matter: the directory itself, or other files in it.
func TestLockIsHeld(t *testing.T) {
	dir := t.TempDir()
	directory, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	if err := unix.Flock(int(directory.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	lock, err := TakeLock(t.Context(), dir, os.Geteuid(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	holder := "another process"
	if runtime.GOOS == "linux" {
		holder = fmt.Sprintf("process %d (", os.Getpid())
	}
	said := fmt.Sprintf("its lock (%s) is held by %s", lockPath(dir), holder)
	held, isHeld := (*HeldError)(nil), false
	_, err = TakeLock(t.Context(), dir, os.Geteuid(), 10*time.Millisecond)
	if held, isHeld = errors.AsType[*HeldError](err); !isHeld || held.Err != nil {
		t.Errorf("patience: %v", err)
	} else if !strings.Contains(err.Error(), said) {
		t.Errorf("%v, want %s", err, said)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = TakeLock(cancelled, dir, os.Geteuid(), time.Hour)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), said) {
		t.Errorf("cancelled: %v", err)
	}
	lock.Release()
	if lock, err = TakeLock(t.Context(), dir, os.Geteuid(), time.Minute); err != nil {
		t.Fatal(err)
	}
	lock.Release()
}

// TestLockIsLeft: the file that a killed process has left is taken over.
func TestLockIsLeft(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(lockPath(dir), nil, lockMode); err != nil {
		t.Fatal(err)
	}
	lock, err := TakeLock(t.Context(), dir, os.Geteuid(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestForeignLock: what somebody else puts in the place of the lock file is told from a lock at
// once. It stays as it is.
func TestForeignLock(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), lockMode); err != nil {
		t.Fatal(err)
	}
	for name, occupy := range map[string]func(path string) error{
		"a link":                func(path string) error { return os.Symlink(secret, path) },
		"a link to nothing":     func(path string) error { return os.Symlink(path+"-none", path) },
		"another file of ours":  func(path string) error { return os.Link(secret, path) },
		"what others can open":  func(path string) error { return writeMode(path, 0o644) },
		"a directory":           func(path string) error { return os.Mkdir(path, 0o700) },
		"a FIFO":                func(path string) error { return unix.Mkfifo(path, lockMode) },
		"of another, to read":   func(path string) error { return writeOf(t, path, 4242, 0o644) },
		"of another, for him":   func(path string) error { return writeOf(t, path, 4242, lockMode) },
		"of another, of no use": func(path string) error { return writeOf(t, path, 4242, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := occupy(lockPath(dir)); errors.Is(err, fs.ErrPermission) {
				testpeer.Without(t, "root", err)
				t.Skip("only root can give files away")
			} else if err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(lockPath(dir))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := TakeLock(t.Context(), dir, os.Geteuid(), time.Hour); err != ErrForeignLock {
				t.Errorf("%v", err)
			}
			after, err := os.Lstat(lockPath(dir))
			if err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
				t.Errorf("it is another one: %v, %v", after, err)
			}
		})
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
		t.Errorf("%q, %v", text, err)
	}
}

// writeMode makes a file of that mode, whatever the umask.
func writeMode(path string, mode fs.FileMode) error {
	return errors.Join(os.WriteFile(path, nil, mode), os.Chmod(path, mode))
}

// writeOf makes a file of another user.
func writeOf(t *testing.T, path string, uid int, mode fs.FileMode) error {
	t.Helper()
	return errors.Join(writeMode(path, mode), os.Chown(path, uid, -1))
}

// TestLockOfAnother: root takes the lock of another user, and the file is that user's: he can take
// it over. Root's own file is one that root is about to give him.
func TestLockOfAnother(t *testing.T) {
	testpeer.NeedRoot(t)
	const ann = 4242
	dir := t.TempDir()
	lock, err := TakeLock(t.Context(), dir, ann, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, ".zmqauth-4242.lock")
	if stamp, err := StampOf(path); err != nil || stamp.uid != ann || stamp.mode != lockMode {
		t.Errorf("%+v, %v", stamp, err)
	}
	lock.Release()
	if err := writeMode(path, lockMode); err != nil {
		t.Fatal(err)
	}
	_, err = TakeLock(t.Context(), dir, ann, 10*time.Millisecond)
	if _, held := errors.AsType[*HeldError](err); !held {
		t.Errorf("a file of root's: %v", err)
	}
	if stamp, err := StampOf(path); err != nil || stamp.uid != 0 {
		t.Errorf("it was given away: %+v, %v", stamp, err)
	}
}
