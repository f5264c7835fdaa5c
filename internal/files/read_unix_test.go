//go:build unix

package files

import (
	"errors"
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
