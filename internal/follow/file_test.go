//go:build unix

package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// recorder is a target that records the calls of its methods.
type recorder struct {
	fault func(data []byte) error // of Load; nil: none

	mu       sync.Mutex
	received []string
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, fmt.Sprintf(format, args...))
}

func (r *recorder) Load(data []byte, stamp files.Stamp) error {
	if stamp.Size() != int64(len(data)) {
		r.note("the stamp of %d bytes", stamp.Size())
	}
	if r.fault != nil {
		if err := r.fault(data); err != nil {
			return err
		}
	}
	r.note("load %s", data)
	return nil
}

func (r *recorder) Gone()            { r.note("gone") }
func (r *recorder) Back()            { r.note("back") }
func (r *recorder) Report(err error) { r.note("report %v", err) }

// take returns the calls since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	received := r.received
	r.received = nil
	return received
}

// fileTest calls look itself, in a bubble with a fake clock.
type fileTest struct {
	*testing.T
	*recorder
	*File
}

const fileLimit = 64 // bytes

// inBubble runs a test with a File that has loaded "one".
func inBubble(t *testing.T, test func(f *fileTest)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		f := &fileTest{T: t, recorder: new(recorder)}
		f.File = newFile(path, fileLimit, f.recorder, nil)
		f.write("one")
		must.OK(t, f.loadFirst())
		f.expect("the first load", "load one")
		f.after(0, "the first look")
		test(f)
	})
}

func (f *fileTest) write(content string) {
	f.Helper()
	must.OK(f, os.WriteFile(f.path, []byte(content), 0o600))
}

// replace renames a new file over the old one.
func (f *fileTest) replace(content string) {
	f.Helper()
	must.OK(f, os.WriteFile(f.path+".new", []byte(content), 0o600))
	must.OK(f, os.Rename(f.path+".new", f.path))
}

// touch changes the stamp of the file and not the content.
func (f *fileTest) touch(minute int) {
	f.Helper()
	when := time.Date(2020, 1, 1, 0, minute, 0, 0, time.UTC)
	must.OK(f, os.Chtimes(f.path, when, when))
}

func (f *fileTest) expect(what string, want ...string) {
	f.Helper()
	if got := f.take(); !slices.Equal(got, want) {
		f.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

// after calls look for a time, as often as look asks for, and then checks the calls of the target.
func (f *fileTest) after(period time.Duration, what string, want ...string) {
	f.Helper()
	for end := time.Now().Add(period); ; {
		wait := f.look()
		if time.Now().Add(wait).After(end) {
			break
		}
		time.Sleep(wait)
	}
	f.expect(what, want...)
}

func TestFileChanges(t *testing.T) {
	inBubble(t, func(f *fileTest) {
		f.after(time.Second, "nothing has happened")
		f.write("longer")
		f.after(settlePeriod-lookAgain, "it may not be complete")
		time.Sleep(lookAgain)
		f.after(0, "overwritten", "load longer")
		f.after(time.Second, "nothing more has happened")
		f.replace("other!")
		f.after(settlePeriod, "replaced by one of the same size", "load other!")
		f.touch(1)
		f.after(settlePeriod, "touched", "load other!")
	})
}

// TestFileShrinks: a writer may have truncated the file and may still be writing.
func TestFileShrinks(t *testing.T) {
	inBubble(t, func(f *fileTest) {
		f.write("")
		f.after(ShrinkPeriod-lookAgain, "truncated")
		f.write("seven")
		f.after(settlePeriod, "and written", "load seven")
		f.write("6")
		f.after(ShrinkPeriod, "shorter for good", "load 6")
	})
}

// TestFileAlwaysChanges: a file that is replaced or touched all the time is loaded nevertheless. A
// file that is being written is not.
func TestFileAlwaysChanges(t *testing.T) {
	round := func(f *fileTest, change func(i int)) []string {
		begun := time.Now()
		for i := 0; time.Since(begun) <= settleLimit; i++ {
			change(i)
			f.look()
			time.Sleep(lookAgain)
		}
		return f.take()
	}
	inBubble(t, func(f *fileTest) {
		got := round(f, func(i int) { f.replace(fmt.Sprint("version ", i)) })
		if !slices.Equal(got, []string{"load version 10"}) {
			t.Errorf("replaced: %q", got)
		}
	})
	inBubble(t, func(f *fileTest) {
		if got := round(f, f.touch); !slices.Equal(got, []string{"load one"}) {
			t.Errorf("touched: %q", got)
		}
	})
	inBubble(t, func(f *fileTest) {
		if got := round(f, func(i int) { f.write(strings.Repeat("x", 10+i)) }); got != nil {
			t.Errorf("written: %q", got)
		}
		f.after(settlePeriod, "written to its end", "load "+strings.Repeat("x", 20))
	})
}

// TestFileIsGone removes the file for a moment and for longer.
func TestFileIsGone(t *testing.T) {
	inBubble(t, func(f *fileTest) {
		must.OK(t, os.Remove(f.path))
		f.after(0, "for a moment")
		f.write("another")
		f.after(settlePeriod, "replaced in two steps", "load another")
		must.OK(t, os.Remove(f.path))
		f.after(checkInterval, "for longer", "gone")
		f.after(time.Second, "for much longer")
		f.write("1")
		f.after(settlePeriod, "made again", "back", "load 1")
		f.after(time.Second, "nothing more has happened")
	})
}

// TestFileThatMustNotBeUsed: a refused file is reported, and not tried again until it changes.
func TestFileThatMustNotBeUsed(t *testing.T) {
	inBubble(t, func(f *fileTest) {
		f.fault = func(data []byte) error {
			if string(data) == "broken" {
				return errors.New("it is broken")
			}
			return nil
		}
		f.write("broken")
		f.after(settlePeriod, "broken", "report it is broken")
		f.after(time.Second, "nothing more has happened")
		f.write("mended!") // of another size, because the file system's clock may not have moved
		f.after(settlePeriod, "mended", "load mended!")

		f.write(strings.Repeat("x", fileLimit+1))
		f.after(settlePeriod, "too large", fmt.Sprintf("report larger than %d bytes", fileLimit))
		f.after(time.Second, "nothing more has happened")
		must.OK(t, os.Remove(f.path))
		must.OK(t, os.Mkdir(f.path, 0o700))
		f.after(settlePeriod, "a directory", "report is a directory")
		must.OK(t, os.Remove(f.path))
		must.OK(t, os.Symlink(f.path, f.path))
		f.after(0, "a loop", "report too many levels of symbolic links")
		must.OK(t, os.Remove(f.path))
		f.write("a file again")
		f.after(ShrinkPeriod, "mended", "load a file again")
	})
}

// TestFileOfABrokenSystem: after an error of the system, which is not the fault of the file, the
// load is tried again.
func TestFileOfABrokenSystem(t *testing.T) {
	inBubble(t, func(f *fileTest) {
		f.fault = func([]byte) error { return syscall.EIO }
		f.write("another")
		f.after(settlePeriod+lookAgain, "a device that fails",
			"report input/output error", "report input/output error")
		f.fault = nil
		f.after(0, "it works again", "load another")
	})
}

// TestFileChangedAtOnce: a change in the same tick of the file system's clock as the first load is
// seen, although the stamp is the same.
func TestFileChangedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		f := &fileTest{T: t, recorder: new(recorder)}
		f.File = newFile(path, fileLimit, f.recorder, nil)
		f.write("one")
		must.OK(t, f.loadFirst())
		f.write("two")
		stamp, err := files.StampOf(path)
		must.OK(t, err)
		f.stamp = stamp
		f.take()
		f.after(settlePeriod, "the change is noticed", "load two")
		f.after(time.Second, "nothing more has happened")
	})
}

// TestFileIsBeingWritten: the first load waits for a file that is being written.
func TestFileIsBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		f := &fileTest{T: t, recorder: new(recorder)}
		f.File = newFile(path, fileLimit, f.recorder, nil)
		f.write("one")
		stamp, err := files.StampOf(path)
		must.OK(t, err)
		f.write("other")
		if err := f.load(stamp); err != errUnsettled {
			t.Errorf("changed before it is read: %v", err)
		}
		must.OK(t, f.loadFirst())
		f.expect("loaded", "load other")
	})
}

// TestFileClearsWhatItHasRead: the content is erased after Load, because it may be secret.
func TestFileClearsWhatItHasRead(t *testing.T) {
	var kept []byte
	inBubble(t, func(f *fileTest) {
		f.fault = func(data []byte) error {
			kept = data
			return nil
		}
		f.write("secret")
		f.after(settlePeriod, "loaded", "load secret")
	})
	if strings.Trim(string(kept), "\x00") != "" || len(kept) != len("secret") {
		t.Errorf("%q", kept)
	}
}

// TestFollowFile: a file is followed until Stop, or until the watcher is closed.
func TestFollowFile(t *testing.T) {
	testpeer.NothingLeft(t)
	for name, end := range map[string]func(*Watcher, *File){
		"Stop":  func(_ *Watcher, f *File) { f.Stop(); f.Stop() },
		"Close": func(w *Watcher, _ *File) { w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			testpeer.NothingLeft(t)
			w, target := New(func(func(*slog.Logger)) {}), new(recorder)
			defer w.Close()
			path := filepath.Join(t.TempDir(), "file")
			must.OK(t, os.WriteFile(path, []byte("one"), 0o600))
			f, err := w.FollowFile(path, fileLimit, target)
			must.OK(t, err)
			f.Start()
			f.Start()
			if got := target.take(); !slices.Equal(got, []string{"load one"}) {
				t.Errorf("%q", got)
			}
			must.OK(t, os.WriteFile(path, []byte("three"), 0o600))
			testpeer.Eventually(t, "a change is loaded", func() bool {
				return slices.Equal(target.take(), []string{"load three"})
			})
			end(w, f)
		})
	}
}

func TestFollowFileErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	must.OK(t, os.WriteFile(path, []byte("one"), 0o600))
	must.OK(t, os.WriteFile(path+" large", make([]byte, fileLimit+1), 0o600))
	w := New(func(func(*slog.Logger)) {})
	for name, test := range map[string]struct {
		path string
		is   error
		want string
	}{
		"not there": {path + " none", fs.ErrNotExist, "no such file or directory"},
		"directory": {dir, syscall.EISDIR, "is a directory"},
		"too large": {path + " large", nil, fmt.Sprintf("larger than %d bytes", fileLimit)},
	} {
		_, err := w.FollowFile(test.path, fileLimit, new(recorder))
		if err == nil || err.Error() != test.want || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refusal := errors.New("no")
	target := &recorder{fault: func([]byte) error { return refusal }}
	if _, err := w.FollowFile(path, fileLimit, target); err != refusal {
		t.Errorf("the target's: %v", err)
	}
	w.Close()
	if _, err := w.FollowFile(path, fileLimit, new(recorder)); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}
