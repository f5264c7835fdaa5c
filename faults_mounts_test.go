package zmqauth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// These tests mount file systems, or run as another user than root. They do that in a process of
// their own, whose mounts and user ids nobody else sees.

// unprivileged runs the calling test, as testpeer.Child does, in a process that is not root's but
// owns the same files.
func unprivileged(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return true
	}
	return testpeer.Apart(t, testpeer.NamedAs(1000, 0))
}

// mountMemory mounts an empty file system over dir, until unmount is called.
func mountMemory(t *testing.T, dir, options string) (unmount func()) {
	t.Helper()
	must.OK(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, options))
	return func() { must.OK(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }
}

// TestDiskFull: however little room is left, CreateCertificates works, or says which file does not
// fit and why, and leaves nothing behind.
func TestDiskFull(t *testing.T) {
	if !testpeer.Mounting(t) {
		return
	}
	for what, options := range map[string]string{
		"no space": "mode=0700,size=%dk", "no inodes": "mode=0700,nr_inodes=%d",
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			missed := make(map[string]bool) // the files that did not fit
			for room := 2; ; room++ {
				unmount := mountMemory(t, dir, fmt.Sprintf(options, room))
				must.OK(t, os.WriteFile(filepath.Join(dir, "other"), []byte("x"), 0o600))
				public, secret, err := CreateCertificates(dir, "ann", map[string]string{"Role": "reader"})
				if err == nil {
					_, err = LoadCertificate(secret)
					must.OK(t, err)
					_, err = LoadCertificate(public)
					must.OK(t, err)
				}
				entries, readErr := os.ReadDir(dir)
				must.OK(t, readErr)
				unmount()
				if err == nil {
					break
				}
				var at *FileError
				if public != "" || secret != "" || !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &at) ||
					!strings.HasPrefix(err.Error(), "zmqauth: "+at.File) {
					t.Fatalf("%d: %q, %q, %v", room, public, secret, err)
				}
				missed[filepath.Base(at.File)] = true
				if len(entries) != 1 {
					t.Errorf("%d: left behind: %v", room, entries)
				}
			}
			if !missed["ann.key_secret"] || !missed["ann.key"] {
				t.Errorf("only %v did not fit", missed)
			}
		})
	}
}

// TestRemount: a followed path stands for whatever it leads to. That holds when a file system is
// mounted over it, and when that is unmounted again.
func TestRemount(t *testing.T) {
	if !testpeer.Mounting(t) {
		return
	}
	certificates, have := newCertificateStore(t, "ann.key")
	ann := have["ann.key"]
	dir := t.TempDir()
	passwords := &passwordStore{
		t: t, path: filepath.Join(dir, "passwords"), a: certificates.a, log: certificates.log,
	}
	passwords.overwrite("ann=below\n")
	must.OK(t, passwords.a.ConfigurePlainFile("d", passwords.path))

	for range 2 {
		// Everybody could write the root of a tmpfs without a mode.
		unmountCertificates := mountMemory(t, certificates.dir, "mode=0755")
		unmountPasswords := mountMemory(t, dir, "")
		bob := certificates.write("bob.key")
		passwords.overwrite("ann=above\n")
		certificates.within("a key in what is mounted", bob, true)
		certificates.within("a key in what is hidden by it", ann, false)
		passwords.within("a password in what is mounted", "ann", "above", true)
		eve := certificates.write("eve.key")
		certificates.within("a key that comes later", eve, true)
		if passwords.accepts("ann", "below") {
			t.Error("the hidden password is in force")
		}

		unmountCertificates()
		unmountPasswords()
		certificates.within("a key that is back", ann, true)
		certificates.within("a key that was mounted", bob, false)
		certificates.within("another", eve, false)
		passwords.within("a password that is back", "ann", "below", true)
		if passwords.accepts("ann", "above") {
			t.Error("the unmounted password is in force")
		}
		fay := certificates.write("fay.key")
		certificates.within("a key that comes then", fay, true)
		must.OK(t, os.Remove(certificates.path("fay.key")))
		certificates.within("a key that is removed then", fay, false)
	}
	if log := certificates.said(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestFileSizeLimit: a file that cannot be written completely is not written at all.
func TestFileSizeLimit(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	dir := t.TempDir()
	must.OK(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100, Max: 100}))
	_, _, err := CreateCertificates(dir, "ann", nil)
	var at *FileError
	if !errors.Is(err, syscall.EFBIG) || !errors.As(err, &at) ||
		at.File != filepath.Join(dir, "ann.key_secret") {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	must.OK(t, err)
	if len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}
