package follow

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// scans returns how often the mirror's target was told of changes.
func (m *mirror) scans() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.received)
}

// TestMountedTwice follows one directory by two paths that no symbolic link connects. inotify has
// one watch for both. Neither may take it from the other.
func TestMountedTwice(t *testing.T) {
	if !testpeer.Mounting(t) {
		return
	}
	m, w, _ := newMirror(t, t.TempDir())
	alias := t.TempDir()
	must.OK(t, syscall.Mount(m.path, alias, "", syscall.MS_BIND, ""))
	other := follow(t, w, alias)
	if got := w.Stats(); got.Directories != 2 || got.Watches != 1 || got.Polled != 0 {
		t.Errorf("%+v", got)
	}
	m.write("a", "one")
	m.shows("by one path", content{"a": "one"})
	other.shows("by the other", content{"a": "one"})
	other.write("a", "two")
	m.shows("written by the other path", content{"a": "two"})
	other.shows("written by the other path", content{"a": "two"})

	time.Sleep(2 * secondLook) // the last burst
	before := [2]int{m.scans(), other.scans()}
	time.Sleep(6 * checkInterval) // nothing is to happen in this time
	if now := [2]int{m.scans(), other.scans()}; now != before {
		t.Errorf("scans of a directory that does not change: %v before, %v after", before, now)
	}

	must.OK(t, syscall.Unmount(alias, syscall.MNT_DETACH))
	other.shows("unmounted", content{})
	m.write("b", "one")
	m.shows("still followed by the first path", content{"a": "two", "b": "one"})
	other.write("c", "below")
	other.shows("and what is there by the second", content{"c": "below"})
}

// TestMountedAgain: a file system that is unmounted ends its watches without an event. A new one
// may look the same in every way that stat can tell.
func TestMountedAgain(t *testing.T) {
	if !testpeer.Mounting(t) {
		return
	}
	dir := t.TempDir()
	defer func() { must.OK(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	mount := func() { must.OK(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755")) }
	mount()
	m, w, _ := newMirror(t, dir)
	path := filepath.Join(dir, "file")
	for i, name := range []string{"one", "two", "six", "ten"} {
		m.write(name, name)
		m.shows("a file in it", content{name: name})
		must.OK(t, syscall.Unmount(dir, syscall.MNT_DETACH))
		if i == 0 {
			m.shows("unmounted", content{})
		}
		mount()
	}
	m.shows("an empty one is mounted", content{})
	target := new(recorder)
	must.OK(t, os.WriteFile(path, []byte("one"), 0o600))
	f, err := w.FollowFile(path, fileLimit, target)
	must.OK(t, err)
	f.Start()
	must.OK(t, syscall.Unmount(dir, syscall.MNT_DETACH))
	mount()
	must.OK(t, os.WriteFile(path, []byte("another"), 0o600))
	testpeer.Eventually(t, "the file in another file system is loaded", func() bool {
		return slices.Contains(target.take(), "load another")
	})
}

// TestNoWatchesLeft: what cannot be watched for want of watches is polled, until there are some.
func TestNoWatchesLeft(t *testing.T) {
	if !testpeer.Apart(t, testpeer.NamedAs(0, 0)) {
		return
	}
	const limit = "/proc/sys/user/max_inotify_watches" // of this user namespace
	must.OK(t, os.WriteFile(limit, []byte("2"), 0))
	m, w, log := newMirror(t, t.TempDir())
	other := follow(t, w, t.TempDir())
	path, target := filepath.Join(t.TempDir(), "file"), new(recorder)
	must.OK(t, os.WriteFile(path, []byte("one"), 0o600))
	f, err := w.FollowFile(path, fileLimit, target)
	must.OK(t, err)
	f.Start()
	got := w.Stats()
	if got.Watches+got.Parents != 2 || got.Polled < 1 {
		t.Errorf("%+v", got)
	}
	for i, m := range []*mirror{m, other} {
		m.write("a", "one")
		m.shows("a directory", content{"a": "one"})
		m.remove("a")
		m.shows("a directory", content{})
		says := strings.Contains(log.String(), "a directory cannot be watched, it is scanned from time "+
			"to time instead\" directory="+m.path)
		if says != (i == 1) {
			t.Errorf("directory %d: the log: %s", i, log)
		}
	}
	must.OK(t, os.WriteFile(path, []byte("another"), 0o600))
	testpeer.Eventually(t, "the file is loaded", func() bool {
		return slices.Contains(target.take(), "load another")
	})
	must.OK(t, os.WriteFile(limit, []byte("100"), 0))
	testpeer.Eventually(t, "all are watched", func() bool { return w.Stats().Polled == 0 })
}

// TestFileSystemWithoutEvents: what is in a file system whose changes have no event is polled.
func TestFileSystemWithoutEvents(t *testing.T) {
	if err := unwatchable("/proc"); err != errNoEvents {
		t.Errorf("/proc: %v", err)
	}
	m, w, log := newMirror(t, "/proc/sys/fs/inotify")
	if got := w.Stats(); got.Watches != 0 || got.Polled != 1 {
		t.Errorf("%+v", got)
	}
	scans := m.scans()
	testpeer.Eventually(t, "it is scanned", func() bool { return m.scans() > scans+1 })
	if !strings.Contains(log.String(), errNoEvents.Error()) {
		t.Errorf("the log: %s", log)
	}
}
