//go:build unix

package follow

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// fails waits until what is followed fails, or does so no more.
func fails(t *testing.T, what string, failing func() (time.Time, error), want error) {
	t.Helper()
	testpeer.Eventually(t, what, func() bool {
		since, err := failing()
		if since.IsZero() != (err == nil) {
			t.Fatalf("%s: since %v: %v", what, since, err)
		}
		return err == want
	})
}

func TestHealth(t *testing.T) {
	var h health
	h.set(nil)
	if since, err := h.failing(); !since.IsZero() || err != nil {
		t.Errorf("fine: %v, %v", since, err)
	}
	h.set(syscall.EACCES)
	first, err := h.failing()
	if first.IsZero() || err != syscall.EACCES {
		t.Errorf("a fault: %v, %v", first, err)
	}
	h.set(syscall.ENOENT)
	if since, err := h.failing(); since != first || err != syscall.ENOENT {
		t.Errorf("another: %v, %v", since, err)
	}
	h.set(nil)
	if since, err := h.failing(); !since.IsZero() || err != nil {
		t.Errorf("fine again: %v, %v", since, err)
	}
}

func TestDirectoryFailing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	must.OK(t, os.Mkdir(path, 0o755))
	w := New(func(func(*slog.Logger)) {})
	defer w.Close()
	d, err := w.FollowDirectory(path, &mirror{t: t, path: path, files: content{}, linked: links{}})
	must.OK(t, err)
	fails(t, "before it starts", d.Failing, nil)
	d.Start()
	must.OK(t, os.Remove(path))
	fails(t, "removed", d.Failing, syscall.ENOENT)
	must.OK(t, os.Mkdir(path, 0o755))
	fails(t, "made again", d.Failing, nil)
	must.OK(t, os.Remove(path))
	must.OK(t, os.Symlink(path, path))
	fails(t, "a loop", d.Failing, syscall.ELOOP)
	must.OK(t, os.Remove(path))
	must.OK(t, os.Mkdir(path, 0o755))
	fails(t, "mended", d.Failing, nil)
	if os.Getuid() == 0 {
		return // whom no mode keeps from reading
	}
	must.OK(t, os.Chmod(path, 0o300))
	fails(t, "unreadable", d.Failing, syscall.EACCES)
	must.OK(t, os.Chmod(path, 0o700))
	fails(t, "readable", d.Failing, nil)
}

func TestFileFailing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(content string) { must.OK(t, os.WriteFile(path, []byte(content), 0o600)) }
	write("one")
	w := New(func(func(*slog.Logger)) {})
	defer w.Close()
	target := &recorder{fault: func(data []byte) error {
		if string(data) == "refused" {
			return fs.ErrInvalid
		}
		return nil
	}}
	f, err := w.FollowFile(path, fileLimit, target)
	must.OK(t, err)
	fails(t, "before it starts", f.Failing, nil)
	f.Start()
	must.OK(t, os.Remove(path))
	fails(t, "removed", f.Failing, syscall.ENOENT)
	must.OK(t, os.Mkdir(path, 0o700))
	fails(t, "a directory", f.Failing, syscall.EISDIR)
	must.OK(t, os.Remove(path))
	write("refused")
	fails(t, "the target has refused it", f.Failing, nil)
	must.OK(t, os.Remove(path))
	must.OK(t, os.Symlink(path, path))
	fails(t, "a loop", f.Failing, syscall.ELOOP)
	must.OK(t, os.Remove(path))
	write("mended")
	fails(t, "mended", f.Failing, nil)
}

// TestFileFailingToBeRead: a file that cannot be read is failing until it is read, and not only
// until it is looked at again.
func TestFileFailingToBeRead(t *testing.T) {
	inBubble(t, func(f *fileTest) {
		f.write(string(make([]byte, fileLimit+1)))
		f.after(settlePeriod, "too large", "report larger than 64 bytes")
		first, err := f.Failing()
		if err == nil || files.IsGone(err) || first.IsZero() {
			t.Errorf("too large: %v, %v", first, err)
		}
		time.Sleep(time.Second)
		f.after(0, "another look")
		if since, err := f.Failing(); since != first || err == nil {
			t.Errorf("looked at again: %v, %v", since, err)
		}
		f.write("good")
		f.after(ShrinkPeriod, "mended", "load good")
		if _, err := f.Failing(); err != nil {
			t.Errorf("mended: %v", err)
		}
	})
}
