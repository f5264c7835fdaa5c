package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/must"
)

// TestPasswdStrangersDoNotLock: what every user of the machine can do does not keep a user in: to
// lock the directory or the password file, or to make a file of the lock's name.
func TestPasswdStrangersDoNotLock(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	must.OK(t, os.WriteFile(users, []byte("ann=x\nbob=y\n"), 0o600))
	for _, path := range []string{dir, users} {
		file, err := os.Open(path)
		must.OK(t, err)
		defer file.Close()
		must.OK(t, unix.Flock(int(file.Fd()), unix.LOCK_EX))
	}
	must.OK(t, passwdWith(t, "", users, "ann", "--delete"))
	squatter := filepath.Join(dir, fmt.Sprintf(".zmqauth-%d.lock", os.Geteuid()))
	must.OK(t, os.WriteFile(squatter, nil, 0o644))
	must.OK(t, passwdWith(t, "", users, "bob", "--delete"))
	if text, err := os.ReadFile(users); err != nil || len(text) > 0 {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Lstat(squatter); err != nil {
		t.Errorf("the file of somebody else: %v", err)
	}
}

// TestPasswdWaitEnds: an interrupt or SIGTERM, which end the context, end the wait for a turn. The
// error says who has it.
func TestPasswdWaitEnds(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	must.OK(t, os.WriteFile(users, []byte("ann=x\n"), 0o600))
	lock, err := files.TakeLock(t.Context(), dir, os.Geteuid(), time.Minute)
	must.OK(t, err)
	defer lock.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = editPasswords(ctx, users, false, func([]byte) ([]byte, error) { panic("called") })
	want := fmt.Sprintf("is held by process %d (", os.Getpid())
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) ||
		!strings.HasPrefix(err.Error(), users+": ") {
		t.Errorf("%v, want %s", err, want)
	}
}
