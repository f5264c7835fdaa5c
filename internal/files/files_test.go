package files

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	const limit = 4 * MinBuffer
	for _, size := range []int{0, 1, MinBuffer - 1, MinBuffer, MinBuffer + 1, limit} {
		path := write(t, size)
		for _, buffer := range [][]byte{nil, make([]byte, 1), make([]byte, 2*limit)} {
			data, stamp, err := Read(path, limit, buffer)
			if err != nil || len(data) != size || stamp.Size() != int64(size) {
				t.Errorf("%d bytes into %d: %d, %v", size, len(buffer), len(data), err)
			}
			if now, err := StampOf(path); err != nil || now != stamp || !now.SameFile(stamp) {
				t.Errorf("%d bytes: another stamp than before: %v", size, err)
			}
		}
	}
	_, stamp, err := Read(write(t, limit+1), limit, nil)
	want := fmt.Sprintf("larger than %d bytes", limit)
	if err == nil || err.Error() != want || stamp == (Stamp{}) {
		t.Errorf("too large: %v, %v", stamp, err)
	}
	if _, _, err := Read(t.TempDir(), limit, nil); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory: %v", err)
	}
	if _, _, err := Read(write(t, 1)+".not", limit, nil); !IsGone(err) {
		t.Errorf("nothing there: %v", err)
	}
}

func TestStampChanges(t *testing.T) {
	path := write(t, 1)
	before, err := StampOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := StampOf(path)
	if err != nil || after == before || !after.SameFile(before) {
		t.Errorf("%v and %v, %v", before, after, err)
	}
	if after.Changed().Before(before.Changed()) || before.Changed().IsZero() {
		t.Errorf("changed at %v, before at %v", after.Changed(), before.Changed())
	}
}

func TestErrors(t *testing.T) {
	pathErr := &fs.PathError{Op: "open", Path: ".tmp", Err: syscall.ENOENT}
	linkErr := &os.LinkError{Op: "link", Old: ".tmp", New: "f", Err: syscall.EEXIST}
	other := errors.New("other")
	tests := map[string]struct {
		err, bare       error
		gone, transient bool
	}{
		"path error":      {pathErr, syscall.ENOENT, true, false},
		"link error":      {linkErr, syscall.EEXIST, false, true},
		"wrapped":         {fmt.Errorf("x: %w", pathErr), syscall.ENOENT, true, false},
		"no directory":    {syscall.ENOTDIR, syscall.ENOTDIR, true, false},
		"no permission":   {syscall.EACCES, syscall.EACCES, false, false},
		"no descriptors":  {syscall.EMFILE, syscall.EMFILE, false, true},
		"a broken device": {syscall.EIO, syscall.EIO, false, true},
		"it grows":        {ErrGrowing, ErrGrowing, false, true},
		"anything else":   {other, other, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Bare(test.err); got != test.bare {
				t.Errorf("bare: %v", got)
			}
			if IsGone(test.err) != test.gone || IsTransient(test.err) != test.transient {
				t.Errorf("gone %v, transient %v", IsGone(test.err), IsTransient(test.err))
			}
		})
	}
}

func TestWriteNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	if err := WriteNew(path, []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if err := WriteNew(path, []byte("other"), 0o640); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := WriteNew(path+"/below", nil, 0o600); err == nil ||
		strings.Contains(Bare(err).Error(), ".zmqauth") {
		t.Errorf("no directory: %v", err)
	}
}
