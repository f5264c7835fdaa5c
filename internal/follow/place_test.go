//go:build unix

package follow

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// withoutSweep returns a watcher whose sweep never runs. It follows events alone.
func withoutSweep(t *testing.T) *Watcher {
	t.Helper()
	w := New(func(func(*slog.Logger)) {})
	w.sweeping = true
	t.Cleanup(w.Close)
	return w
}

// TestEventsOfADirectory: what happens to the path of a directory has events, which do not have to
// wait for the sweep.
func TestEventsOfADirectory(t *testing.T) {
	base := t.TempDir()
	in := func(names ...string) string { return filepath.Join(base, filepath.Join(names...)) }
	version := func(name, link string) {
		must.OK(t, os.MkdirAll(in(name, "d"), 0o755))
		must.OK(t, os.WriteFile(in(name, "d", "a"), []byte(name), 0o644))
		must.OK(t, os.Symlink(name, in("temporary")))
		must.OK(t, os.Rename(in("temporary"), in(link)))
	}
	version("1", "current")
	m := follow(t, withoutSweep(t), in("current", "d"))
	version("2", "current")
	m.shows("a link on the way is replaced", content{"a": "2"})
	must.OK(t, os.Rename(in("2", "d"), in("2", "away")))
	m.shows("moved away", content{})
	must.OK(t, os.Mkdir(in("2", "d"), 0o755))
	must.OK(t, os.WriteFile(in("2", "d", "b"), []byte("new"), 0o644))
	m.shows("made again", content{"b": "new"})
	must.OK(t, os.RemoveAll(in("2")))
	m.shows("removed with the directory above", content{})
	version("3", "current")
	m.shows("made again elsewhere", content{"a": "3"})
	m.write("a", "four")
	m.shows("and followed", content{"a": "four"})
}

// TestEventsOfALinkedDirectory: the same holds for the directories that symbolic links lead over.
func TestEventsOfALinkedDirectory(t *testing.T) {
	base := t.TempDir()
	in := func(names ...string) string { return filepath.Join(base, filepath.Join(names...)) }
	version := func(name string) {
		must.OK(t, os.Mkdir(in(name), 0o755))
		must.OK(t, os.WriteFile(in(name, "a"), []byte(name), 0o644))
		must.OK(t, os.Symlink(name, in("temporary")))
		must.OK(t, os.Rename(in("temporary"), in("current")))
	}
	version("1")
	m := follow(t, withoutSweep(t), t.TempDir())
	must.OK(t, os.Symlink(in("current", "a"), filepath.Join(m.path, "a")))
	m.shows("a link", content{"a": "1"})
	version("2")
	m.shows("a directory on its way is replaced", content{"a": "2"})
	must.OK(t, os.RemoveAll(in("2")))
	m.shows("a directory on its way is removed", content{})
	must.OK(t, os.Mkdir(in("2"), 0o755))
	must.OK(t, os.WriteFile(in("2", "a"), []byte("again"), 0o644))
	m.shows("and made again", content{"a": "again"})
}

// TestEventsOfAFile: every way of changing a file has events, as Kubernetes' swap of ..data has.
func TestEventsOfAFile(t *testing.T) {
	dir, w, target := t.TempDir(), withoutSweep(t), new(recorder)
	in := func(names ...string) string { return filepath.Join(dir, filepath.Join(names...)) }
	version := func(name string) {
		must.OK(t, os.Mkdir(in(name), 0o755))
		must.OK(t, os.WriteFile(in(name, "file"), []byte(name), 0o600))
		must.OK(t, os.Symlink(name, in("..temporary")))
		must.OK(t, os.Rename(in("..temporary"), in("..data")))
	}
	version("..1")
	must.OK(t, os.Symlink("..data/file", in("file")))
	f, err := w.FollowFile(in("file"), fileLimit, target)
	must.OK(t, err)
	f.Start()
	receives := func(what string, want ...string) {
		t.Helper()
		var got []string
		testpeer.Eventually(t, what, func() bool {
			got = append(got, target.take()...)
			return len(got) >= len(want)
		})
		if !slices.Equal(got, want) {
			t.Fatalf("%s: got %q, want %q", what, got, want)
		}
	}
	receives("at first", "load ..1")
	version("..2 swapped")
	receives("swapped", "load ..2 swapped")
	must.OK(t, os.WriteFile(in("..data", "file"), []byte("overwritten in place"), 0o600))
	receives("overwritten", "load overwritten in place")
	must.OK(t, os.Remove(in("file")))
	receives("removed", "gone")
	must.OK(t, os.WriteFile(in("file"), []byte("a file, no link, and it is longer"), 0o600))
	receives("made again", "back", "load a file, no link, and it is longer")
	must.OK(t, os.RemoveAll(dir))
	receives("removed with its directory", "gone")
	must.OK(t, os.Mkdir(dir, 0o755))
	must.OK(t, os.WriteFile(in("file"), []byte("again"), 0o600))
	receives("made again", "back", "load again")
}

// counter is an owner that counts.
type counter struct{ heards, wakes atomic.Int64 }

func (c *counter) heard(*place, string) { c.heards.Add(1) }
func (c *counter) wake(*place, bool)    { c.wakes.Add(1) }

// TestBusyDirectory: an event concerns only those that follow its name, and those that follow all
// names.
func TestBusyDirectory(t *testing.T) {
	dir, w := t.TempDir(), withoutSweep(t)
	owners := make(map[string]*counter)
	for i := range 1000 {
		name := fmt.Sprint("followed", i)
		must.OK(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		owners[name] = new(counter)
	}
	for name, owner := range owners { // not before: to make a file is an event
		w.tie(&place{path: filepath.Join(dir, name), owner: owner})
	}
	all := new(counter)
	w.tie(&place{path: dir, owner: all, whole: true})
	if got := w.Stats(); got.Watches != 1 || got.Parents != 1 || got.Polled != 0 {
		t.Errorf("%+v", got)
	}
	const writes = 1000
	for i := range writes {
		must.OK(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("other", i)), []byte("x"), 0o600))
	}
	must.OK(t, os.WriteFile(filepath.Join(dir, "followed7"), []byte("x"), 0o600))
	testpeer.Eventually(t, "its owner is told", func() bool {
		return owners["followed7"].wakes.Load() > 0
	})
	if got := all.heards.Load(); got < writes {
		t.Errorf("%d events", got)
	}
	delete(owners, "followed7")
	for name, owner := range owners {
		if owner.wakes.Load() > 0 || owner.heards.Load() > 0 {
			t.Errorf("%s: woken for others", name)
		}
	}
}

// TestNoisyDirectory: a directory in which a lot happens that nobody follows is not watched. The
// followed file in it is polled, and is watched again later.
func TestNoisyDirectory(t *testing.T) {
	dir, w, target := t.TempDir(), withoutSweep(t), new(recorder)
	path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	must.OK(t, os.WriteFile(path, []byte("one"), 0o600))
	f, err := w.FollowFile(path, fileLimit, target)
	must.OK(t, err)
	f.Start()
	if got := w.Stats(); got.Parents != 1 || got.Polled != 0 {
		t.Errorf("%+v", got)
	}
	testpeer.Eventually(t, "the file is polled", func() bool {
		for range eventLimit {
			must.OK(t, os.WriteFile(other, []byte("x"), 0o600))
			must.OK(t, os.Remove(other))
		}
		return w.Stats().Polled == 1
	})
	if got := w.Stats(); got.Parents != 0 {
		t.Errorf("%+v", got)
	}
	target.take()
	must.OK(t, os.WriteFile(path, []byte("another"), 0o600))
	testpeer.Eventually(t, "it is loaded", func() bool {
		return slices.Contains(target.take(), "load another")
	})

	// Who follows all of the directory needs every event.
	m := follow(t, w, dir)
	for range eventLimit {
		must.OK(t, os.WriteFile(other, []byte("x"), 0o600))
		must.OK(t, os.Remove(other))
	}
	m.write("last", "one")
	m.shows("all of the directory", content{"file": "another", "last": "one"})
	testpeer.Eventually(t, "the file is watched again", func() bool { return w.Stats().Polled == 0 })
}

// TestWatchOfAPathThatLedElsewhere: a path can lead to another directory while one that it led to
// is still followed by another path. Each has a watch of its own.
func TestWatchOfAPathThatLedElsewhere(t *testing.T) {
	base, w := t.TempDir(), withoutSweep(t)
	in := func(names ...string) string { return filepath.Join(base, filepath.Join(names...)) }
	must.OK(t, os.MkdirAll(in("above", "d"), 0o755))
	must.OK(t, os.Symlink("above", in("link")))
	first, second := follow(t, w, in("above", "d")), follow(t, w, in("link", "d"))
	must.OK(t, os.Rename(in("above"), in("renamed"))) // d itself has no event
	must.OK(t, os.Remove(in("link")))
	must.OK(t, os.Symlink("renamed", in("link")))
	must.OK(t, os.MkdirAll(in("above", "d"), 0o755))
	third := follow(t, w, in("above", "d"))
	must.OK(t, os.WriteFile(in("above", "d", "a"), []byte("new"), 0o644))
	third.shows("the new one", content{"a": "new"})
	first.shows("by the path that led to the old one", content{"a": "new"})
	must.OK(t, os.WriteFile(in("renamed", "d", "b"), []byte("old"), 0o644))
	second.shows("the old one", content{"b": "old"})
}
