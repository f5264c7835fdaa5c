package files

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// replace replaces a file by another content.
func replace(t *testing.T, path string) error {
	t.Helper()
	_, stamp, err := Read(path, 1<<10, nil)
	must.OK(t, err)
	return Replace(path, stamp, []byte("new"))
}

func statusOf(t *testing.T, path string) (info unix.Stat_t) {
	t.Helper()
	must.OK(t, unix.Lstat(path, &info))
	return info
}

// expectContent checks the content of a file, and that nothing else is in its directory.
func expectContent(t *testing.T, path, want string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must.OK(t, err)
	entries, err := os.ReadDir(filepath.Dir(path))
	must.OK(t, err)
	if string(data) != want || len(entries) != 1 {
		t.Errorf("%q, want %q; in the directory: %v", data, want, entries)
	}
}

// TestReplaceKeepsModes: the mode of a file stays, whatever the umask.
func TestReplaceKeepsModes(t *testing.T) {
	for _, mode := range []uint32{0o600, 0o640, 0o660, 0o400, 0o440, 0o644, 0o666, 0o4755, 0o3640} {
		path := write(t, 1)
		must.OK(t, unix.Chmod(path, mode))
		before := statusOf(t, path)
		must.OK(t, replace(t, path))
		after := statusOf(t, path)
		if after.Mode != before.Mode || after.Ino == before.Ino {
			t.Errorf("mode %04o became %04o", before.Mode, after.Mode)
		}
		expectContent(t, path, "new")
	}
}

// TestReplaceKeepsOwner: a service may go on reading the file that root has changed.
func TestReplaceKeepsOwner(t *testing.T) {
	for _, ids := range [][2]int{{0, 500}, {1000, 0}, {1000, 500}} {
		path := write(t, 1)
		must.OK(t, os.Chmod(path, 0o640))
		testpeer.GiveAway(t, path, ids[0], ids[1])
		must.OK(t, replace(t, path))
		after := statusOf(t, path)
		if int(after.Uid) != ids[0] || int(after.Gid) != ids[1] || after.Mode&0o777 != 0o640 {
			t.Errorf("%v became %d, %d, %04o", ids, after.Uid, after.Gid, after.Mode)
		}
		expectContent(t, path, "new")
	}
}

// asOther runs the calling test, as testpeer.Child does, as a user who is not root, with one group.
// That user owns the files of the user who runs the tests.
func asOther(t *testing.T) bool {
	t.Helper()
	attributes := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getgid(), Size: 1}},
	}
	try := exec.Command("true")
	try.SysProcAttr = attributes
	// ENOSPC means that there may be no user namespaces.
	if err := try.Run(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		testpeer.Without(t, "namespaces", err)
		t.Skipf("namespaces of one's own are not allowed here: %v", err)
	}
	return testpeer.Child(t, func(command *exec.Cmd) { command.SysProcAttr = attributes })
}

// TestReplaceAsAnotherUser: a user who owns a file may change it, but not where it has a group that
// this user cannot give to files.
func TestReplaceAsAnotherUser(t *testing.T) {
	const pathVariable = "ZMQAUTH_TEST_FILE"
	path := os.Getenv(pathVariable)
	if path == "" {
		path = write(t, 1)
		must.OK(t, os.Chmod(path, 0o640))
		testpeer.GiveAway(t, path, -1, 500)
		t.Setenv(pathVariable, path)
	}
	if !asOther(t) {
		return
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 1000 || gid != 1000 {
		t.Fatalf("this is user %d, group %d", uid, gid)
	}
	before, err := StampOf(path)
	must.OK(t, err)
	err = replace(t, path)
	if err == nil || !strings.Contains(err.Error(), "its group (") {
		t.Errorf("%v", err)
	}
	if after, err := StampOf(path); err != nil || after != before {
		t.Errorf("the file has changed: %v", err)
	}
	expectContent(t, path, "x")
	own := write(t, 1)
	must.OK(t, os.Chmod(own, 0o640))
	must.OK(t, replace(t, own))
	if after := statusOf(t, own); after.Uid != 1000 || after.Gid != 1000 || after.Mode&0o777 != 0o640 {
		t.Errorf("%d, %d, %04o", after.Uid, after.Gid, after.Mode)
	}
}

// TestReplaceRefuses: what is not the file that was read stays as it is.
func TestReplaceRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, path string)
		want   string
	}{
		"written": {func(t *testing.T, path string) {
			must.OK(t, os.WriteFile(path, []byte("other"), 0o600))
		}, ErrChanged.Error()},
		"another mode": {func(t *testing.T, path string) {
			must.OK(t, os.Chmod(path, 0o400))
		}, ErrChanged.Error()},
		"replaced": {func(t *testing.T, path string) {
			must.OK(t, os.WriteFile(path+".new", []byte("other"), 0o600))
			must.OK(t, os.Rename(path+".new", path))
		}, ErrChanged.Error()},
		"a symbolic link": {func(t *testing.T, path string) {
			must.OK(t, os.Remove(path))
			must.OK(t, os.Symlink("/dev/null", path))
		}, "symbolic links"},
		"gone": {func(t *testing.T, path string) { must.OK(t, os.Remove(path)) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, 1)
			_, stamp, err := Read(path, 1<<10, nil)
			must.OK(t, err)
			test.change(t, path)
			var before unix.Stat_t
			_ = unix.Lstat(path, &before)
			err = Replace(path, stamp, []byte("new"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			var after unix.Stat_t
			_ = unix.Lstat(path, &after)
			if after != before {
				t.Error("it is not as before")
			}
		})
	}
}

// TestReplaceRefusesHardLinks: the other name would keep the old content.
func TestReplaceRefusesHardLinks(t *testing.T) {
	path := write(t, 1)
	other := filepath.Join(t.TempDir(), "other")
	must.OK(t, os.Link(path, other))
	if err := replace(t, path); err == nil || !strings.Contains(err.Error(), "2 names (hard links)") {
		t.Errorf("%v", err)
	}
	expectContent(t, path, "x")
}

// TestReplaceIsPrivateUntilComplete: a file of mode 0666 is for its owner alone until it is whole.
func TestReplaceIsPrivateUntilComplete(t *testing.T) {
	path := write(t, 1)
	must.OK(t, os.Chmod(path, 0o666))
	data := bytes.Repeat([]byte("new"), 8<<20)
	for seen := 0; seen == 0; { // until the new file was there when this looked
		_, stamp, err := Read(path, len(data), nil)
		must.OK(t, err)
		done := make(chan error, 1)
		go func() { done <- Replace(path, stamp, data) }()
		for replaced := false; !replaced; {
			select {
			case err := <-done:
				must.OK(t, err)
				replaced = true
			default:
				seen += lookAtUnfinished(t, path, int64(len(data)))
			}
		}
	}
}

// lookAtUnfinished checks the mode of the file that is to replace another one, if it is there. It
// returns how many files it has seen.
func lookAtUnfinished(t *testing.T, path string, size int64) (seen int) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must.OK(t, err)
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), entry.Name()))
		if err != nil || entry.Name() == filepath.Base(path) {
			continue // renamed meanwhile
		}
		seen++
		if info.Mode().Perm() != fs.FileMode(0o600) && info.Size() < size {
			t.Fatalf("mode %04o with %d bytes of %d", info.Mode().Perm(), info.Size(), size)
		}
	}
	return seen
}
