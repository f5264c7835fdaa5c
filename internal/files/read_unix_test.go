//go:build unix

package files

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReadDoesNotWait: a FIFO without a writer and a device are refused at once.
func TestReadDoesNotWait(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero"} {
		if _, stamp, err := Read(path, 1, nil); !errors.Is(err, ErrNotRegular) || stamp != (Stamp{}) {
			t.Errorf("%s: %v, %v", path, stamp, err)
		}
	}
}

func TestOwner(t *testing.T) {
	path := write(t, 1)
	stamp, err := StampOf(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want := info.Sys().(*syscall.Stat_t)
	if uid, gid := stamp.Owner(); uid != int(want.Uid) || gid != int(want.Gid) {
		t.Errorf("%d:%d owns it, want %d:%d", uid, gid, want.Uid, want.Gid)
	}
}
