package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestPasswdKeepsAccess: root deletes a user from a file that a service reads as its group. The
// service can read the new file: otherwise it would keep the old users. The links that lead to the
// file stay.
func TestPasswdKeepsAccess(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	must.OK(t, os.WriteFile(users, []byte("ann=x\nbob=y\n"), 0o600))
	must.OK(t, os.Chmod(users, 0o640))
	testpeer.GiveAway(t, users, 0, 500)
	must.OK(t, os.Symlink("users", filepath.Join(dir, "link")))
	must.OK(t, os.Mkdir(filepath.Join(dir, "etc"), 0o700))
	first := filepath.Join(dir, "etc", "first")
	must.OK(t, os.Symlink("../link", first))
	for _, args := range [][]string{{first, "ann", "--delete"}, {first, "carl"}} {
		command := exec.Command(binary, append([]string{"passwd"}, args...)...)
		command.Stdin = strings.NewReader("correct horse\n")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var info unix.Stat_t
		must.OK(t, unix.Lstat(users, &info))
		if info.Uid != 0 || info.Gid != 500 || info.Mode != unix.S_IFREG|0o640 {
			t.Errorf("%v: user %d, group %d, mode %o", args, info.Uid, info.Gid, info.Mode)
		}
	}
	data, err := os.ReadFile(users)
	must.OK(t, err)
	if !strings.HasPrefix(string(data), "bob=y\ncarl:$argon2id$") {
		t.Errorf("%q", data)
	}
	for link, want := range map[string]string{first: "../link", filepath.Join(dir, "link"): "users"} {
		if got, err := os.Readlink(link); err != nil || got != want {
			t.Errorf("%s leads to %q, %v", link, got, err)
		}
	}
}

// TestPasswdSaysWhatItCannotKeep: where the other name of a file would lead to the old users,
// nothing is changed.
func TestPasswdSaysWhatItCannotKeep(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	must.OK(t, os.WriteFile(users, []byte("ann=x\n"), 0o600))
	must.OK(t, os.Link(users, filepath.Join(dir, "other")))
	out, err := exec.Command(binary, "passwd", users, "ann", "--delete").CombinedOutput()
	want := "zmqauth: " + users + ": it has 2 names (hard links), and the others would keep the old " +
		"content\n"
	if err == nil || string(out) != want {
		t.Errorf("%v, %q", err, out)
	}
	data, err := os.ReadFile(users)
	if err != nil || string(data) != "ann=x\n" {
		t.Errorf("%q, %v", data, err)
	}
}
