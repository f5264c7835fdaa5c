//go:build unix

package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

type content = map[string]string

// TestDirectory follows every kind of change to the files of a directory.
func TestDirectory(t *testing.T) {
	m, _, _ := newMirror(t, t.TempDir())
	in := func(name string) string { return filepath.Join(m.path, name) }
	m.write("a", "one")
	m.shows("a new file", content{"a": "one"})
	m.write("a", "two")
	m.shows("overwritten in place", content{"a": "two"})
	m.write(".b", "six")
	must.OK(t, os.Rename(in(".b"), in("a")))
	m.shows("another renamed over it", content{"a": "six"})
	must.OK(t, os.Rename(in("a"), in("c")))
	m.shows("renamed", content{"c": "six"})
	must.OK(t, os.Link(in("c"), in("d")))
	m.shows("a second name", content{"c": "six", "d": "six"})
	m.remove("c")
	m.shows("removed", content{"d": "six"})
	m.remove("d")
	m.shows("the last one removed", content{})
}

// TestDirectoryTellsWhatChanged: the target is told about the changed files and no others.
func TestDirectoryTellsWhatChanged(t *testing.T) {
	dir := t.TempDir()
	want := content{}
	for i := range 100 {
		want[strconv.Itoa(i)] = "old"
		must.OK(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), []byte("old"), 0o644))
	}
	m, _, _ := newMirror(t, dir)
	for _, name := range []string{"7", "42", "new"} {
		m.write(name, "new")
		want[name] = "new"
		m.shows("the change of "+name, want)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.received {
		delete(c.Names, "7")
		delete(c.Names, "42")
		delete(c.Names, "new")
		if c.any() {
			t.Errorf("%+v, too", c)
		}
	}
}

// TestDirectoryMode: all files are checked when the mode of the directory changes, because it may
// have been unreadable.
func TestDirectoryMode(t *testing.T) {
	m, _, _ := newMirror(t, t.TempDir())
	must.OK(t, os.Chmod(m.path, 0o700))
	testpeer.Eventually(t, "all is looked at", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.received) > 0 && m.received[len(m.received)-1].All
	})
}

// TestDirectoryIsReplaced moves a directory away and back, replaces it, and removes it.
func TestDirectoryIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	must.OK(t, os.Mkdir(path, 0o755))
	m, _, log := newMirror(t, path)
	m.write("a", "one")
	m.shows("a new file", content{"a": "one"})
	must.OK(t, os.Rename(path, path+".away"))
	m.shows("moved away", content{})
	must.OK(t, os.Rename(path+".away", path))
	m.shows("and back", content{"a": "one"})
	m.write("b", "two")
	m.shows("and followed", content{"a": "one", "b": "two"})
	for _, line := range []string{
		`level=WARN msg="zmqauth: a directory is gone, and what was in it is out of force until it ` +
			`comes back" directory=` + path + "\n",
		`level=INFO msg="zmqauth: a directory is back" directory=` + path + "\n",
	} {
		if strings.Count(log.String(), line) != 1 {
			t.Errorf("not once: %s\nin %s", line, log)
		}
	}

	must.OK(t, os.Mkdir(path+".next", 0o755))
	must.OK(t, os.WriteFile(filepath.Join(path+".next", "c"), []byte("three"), 0o644))
	must.OK(t, errors.Join(os.Rename(path, path+".old"), os.Rename(path+".next", path)))
	m.shows("replaced", content{"c": "three"})
	m.write("c", "four")
	m.shows("and followed", content{"c": "four"})
	must.OK(t, os.RemoveAll(path))
	m.shows("removed", content{})
	must.OK(t, os.Mkdir(path, 0o755))
	m.write("d", "five")
	m.shows("made again", content{"d": "five"})
}

// TestDirectoryBehindALink follows a symbolic link that is replaced by another.
func TestDirectoryBehindALink(t *testing.T) {
	base := t.TempDir()
	current := filepath.Join(base, "current")
	for _, name := range []string{"1", "2"} {
		must.OK(t, os.Mkdir(filepath.Join(base, name), 0o755))
		must.OK(t, os.WriteFile(filepath.Join(base, name, "a"), []byte(name), 0o644))
		must.OK(t, os.Symlink(name, filepath.Join(base, "to "+name)))
	}
	must.OK(t, os.Rename(filepath.Join(base, "to 1"), current))
	m, _, _ := newMirror(t, current)
	m.shows("behind the link", content{"a": "1"})
	must.OK(t, os.Rename(filepath.Join(base, "to 2"), current))
	m.shows("behind another link", content{"a": "2"})
	m.write("a", "two")
	m.shows("and followed there", content{"a": "two"})
}

// TestLinkedDirectories: changes of a link's target are seen, wherever the target is.
func TestLinkedDirectories(t *testing.T) {
	m, w, _ := newMirror(t, t.TempDir())
	before := w.Stats()
	linked := filepath.Join(t.TempDir(), "linked")
	target := filepath.Join(linked, "target")
	write := func(content string) { must.OK(t, os.WriteFile(target, []byte(content), 0o644)) }
	must.OK(t, os.Mkdir(linked, 0o755))
	write("one")
	must.OK(t, os.Symlink(target, filepath.Join(m.path, "a")))
	m.shows("a link", content{"a": "one"})
	write("two")
	m.shows("its target, overwritten", content{"a": "two"})
	must.OK(t, os.Remove(target))
	m.shows("its target, removed", content{})
	write("three")
	m.shows("its target, made again", content{"a": "three"})
	must.OK(t, os.RemoveAll(linked))
	m.shows("its target's directory, removed", content{})
	must.OK(t, os.Mkdir(linked, 0o755))
	write("four")
	m.shows("its target's directory, made again", content{"a": "four"})
	m.remove("a")
	m.shows("the link, removed", content{})
	testpeer.Eventually(t, "the directory is not watched any more", func() bool {
		return w.Stats() == before
	})
}

// TestDirectoryByTwoPaths follows one directory by two names. inotify has one watch for both.
func TestDirectoryByTwoPaths(t *testing.T) {
	m, w, _ := newMirror(t, t.TempDir())
	alias := filepath.Join(t.TempDir(), "alias")
	must.OK(t, os.Symlink(m.path, alias))
	other := &mirror{t: t, path: alias, files: content{}, linked: links{}}
	d, err := w.FollowDirectory(alias, other)
	must.OK(t, err)
	d.Start()
	m.write("a", "one")
	m.shows("by one path", content{"a": "one"})
	other.shows("by the other", content{"a": "one"})
	if got := w.Stats(); got.Directories != 2 || got.Watches != 1 {
		t.Errorf("%+v", got)
	}
	d.Stop()
	testpeer.Eventually(t, "one is left", func() bool { return w.Stats().Directories == 1 })
	m.write("a", "two")
	m.shows("by the one that is left", content{"a": "two"})
}

// TestDirectoryUnfinished: the target is told once more about what it could not finish, without a
// new event.
func TestDirectoryUnfinished(t *testing.T) {
	m, _, _ := newMirror(t, t.TempDir())
	m.mu.Lock()
	m.leave = Changes{Names: map[string]struct{}{"again": {}}}
	m.mu.Unlock()
	m.write("a", "one")
	testpeer.Eventually(t, "it is told", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.received) < 2 {
			return false
		}
		_, named := m.received[1].Names["again"]
		return named && len(m.received[1].Names) == 1 && len(m.received) == 2
	})
}

// TestWithoutAWatch: without inotify the directory is scanned, and the log says so.
func TestWithoutAWatch(t *testing.T) {
	m, w, log := newMirror(t, t.TempDir())
	m.write("a", "one")
	m.shows("a file", content{"a": "one"})
	w.mu.Lock()
	must.OK(t, w.notify.Close()) // every later Add fails
	for d := range w.directories {
		d.setLost(true)
	}
	w.mu.Unlock()
	m.write("b", "two")
	m.shows("an added file", content{"a": "one", "b": "two"})
	m.remove("a")
	m.shows("a removed file", content{"b": "two"})
	const want = `level=WARN msg="zmqauth: a directory cannot be watched, it is scanned from time ` +
		`to time instead" directory=`
	if strings.Count(log.String(), want+m.path) != 1 {
		t.Errorf("the log does not say so once: %s", log)
	}
}

// TestEventsAreLost makes the kernel's queue of events overflow. All changes are seen nevertheless.
func TestEventsAreLost(t *testing.T) {
	data, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		testpeer.Missing(t, "inotify", "Linux")
	}
	queue, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must.OK(t, err)
	if queue > 1<<20 {
		err := fmt.Errorf("this system queues %d events", queue)
		testpeer.Without(t, "overflow", err)
		t.Skip(err)
	}
	m, w, log := newMirror(t, t.TempDir())
	m.write("ann", "one")
	m.write("bob", "one")
	m.shows("as it is before", content{"ann": "one", "bob": "one"})
	before := w.Stats().Overflows
	w.mu.Lock() // takeEvents waits for it
	deadline := time.Now().Add(30 * time.Second)
	for i := 0; i < 2*queue && time.Now().Before(deadline); i++ {
		// The kernel merges two equal events in a row.
		must.OK(t, os.Chmod(filepath.Join(m.path, []string{"ann", "bob"}[i%2]), 0o644))
	}
	m.remove("ann")
	m.write("eve", "one")
	m.write("bob", "two")
	must.OK(t, os.Mkdir(filepath.Join(m.path, "directory"), 0o755))
	w.mu.Unlock()

	m.shows("what was removed, overwritten and added", content{"bob": "two", "eve": "one"})
	if w.Stats().Overflows == before ||
		!strings.Contains(log.String(), "events of followed directories are lost, all are scanned now") {
		t.Errorf("no event was lost: %s", log)
	}
	m.write("last", "one")
	m.shows("a later change, of which there is an event",
		content{"bob": "two", "eve": "one", "last": "one"})
}

func TestFollowDirectoryErrors(t *testing.T) {
	m, w, _ := newMirror(t, t.TempDir())
	none := filepath.Join(m.path, "none")
	if _, err := w.FollowDirectory(none, m); !errors.Is(err, fs.ErrNotExist) ||
		strings.Contains(err.Error(), none) {
		t.Errorf("a directory that is not there: %v", err)
	}
	w.Close()
	if _, err := w.FollowDirectory(m.path, m); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestDirectoryEnds: nothing is left after the end, in whatever order the methods are called.
func TestDirectoryEnds(t *testing.T) {
	for name, calls := range map[string]func(*Watcher, *Directory){
		"before it starts":     func(_ *Watcher, d *Directory) { d.Stop() },
		"and does not start":   func(_ *Watcher, d *Directory) { d.Stop(); d.Start() },
		"after it has started": func(_ *Watcher, d *Directory) { d.Start(); d.Stop() },
		"twice":                func(_ *Watcher, d *Directory) { d.Start(); d.Stop(); d.Stop() },
		"with the watcher":     func(w *Watcher, d *Directory) { d.Start(); w.Close(); w.Close() },
		"before, with the watcher": func(w *Watcher, d *Directory) {
			w.Close()
			d.Start()
			d.Stop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			testpeer.NothingLeft(t)
			w := New(func(func(*slog.Logger)) {})
			defer w.Close()
			for range 2 {
				d, err := w.FollowDirectory(t.TempDir(), &mirror{t: t})
				if errors.Is(err, ErrClosed) {
					break
				}
				must.OK(t, err)
				calls(w, d)
				testpeer.Eventually(t, "nothing is followed", func() bool {
					return w.Stats().Directories == 0 && w.Stats().Watches == 0
				})
			}
		})
	}
}

// TestDirectoryStopsAtOnce: Stop without Start takes effect before it returns.
func TestDirectoryStopsAtOnce(t *testing.T) {
	w := New(func(func(*slog.Logger)) {})
	defer w.Close()
	d, err := w.FollowDirectory(t.TempDir(), &mirror{t: t})
	must.OK(t, err)
	d.Stop()
	if got := w.Stats(); got != (Stats{}) {
		t.Errorf("%+v", got)
	}
	select {
	case <-w.Done():
		t.Error("the watcher is closed with its last directory")
	default:
	}
	w.Close()
	<-w.Done()
}
