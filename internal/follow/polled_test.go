//go:build unix

package follow

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
)

// withoutEventsIn returns a watcher for which changes in a directory have no event.
func withoutEventsIn(t *testing.T, dir string) (*Watcher, *logbuffer.Buffer) {
	t.Helper()
	log := new(logbuffer.Buffer)
	w := New(func(line func(*slog.Logger)) { line(log.Logger()) })
	t.Cleanup(w.Close)
	real, err := filepath.EvalSymlinks(dir)
	must.OK(t, err)
	w.unwatchable = func(dir string) error {
		if dir == real {
			return errNoEvents
		}
		return unwatchable(dir)
	}
	return w, log
}

// unstarted returns a Directory that is followed and has no goroutine: the test does its work.
func unstarted(t *testing.T, w *Watcher, path string) (*Directory, *mirror) {
	t.Helper()
	m := &mirror{t: t, path: path, files: content{}, linked: links{}}
	d, err := w.FollowDirectory(path, m)
	must.OK(t, err)
	t.Cleanup(d.Stop)
	return d, m
}

// every calls act again and again until stop is called.
func every(period time.Duration, act func()) (stop func()) {
	stopped := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-ticker.C:
				act()
			}
		}
	})
	return func() {
		close(stopped)
		running.Wait()
	}
}

// TestEventsPutOffNoCheck: a directory that cannot be watched is scanned, however many events there
// are of what its links lead to.
func TestEventsPutOffNoCheck(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	must.OK(t, os.WriteFile(target, []byte("same"), 0o644))
	must.OK(t, os.Symlink(target, filepath.Join(dir, "link")))
	w, _ := withoutEventsIn(t, dir)
	m := follow(t, w, dir)
	m.shows("at first", content{"link": "same"})
	defer every(QuietPeriod/4, func() {
		if file, err := os.OpenFile(target, os.O_WRONLY, 0); err == nil {
			_, _ = file.WriteString("same")
			_ = file.Close()
		}
	})()
	m.write("a", "one")
	m.shows("an added file", content{"link": "same", "a": "one"})
	m.remove("a")
	m.shows("a removed file", content{"link": "same"})
	must.OK(t, os.Rename(dir, dir+".away"))
	m.shows("the directory, moved away", content{})
	must.OK(t, os.Rename(dir+".away", dir))
	m.shows("the directory, moved back", content{"link": "same"})
}

// TestSecondLookAfterAScan: what a scan has missed is looked at again as soon as what was missed
// after an event, and not only by the next scan.
func TestSecondLookAfterAScan(t *testing.T) {
	dir := t.TempDir()
	w, _ := withoutEventsIn(t, dir)
	d, m := unstarted(t, w, dir)
	m.leave = Changes{Names: map[string]struct{}{"missing": {}}}
	if wait := d.check(); wait != secondLook {
		t.Errorf("the next look comes after %v", wait)
	}
	wait := d.check()
	if len(m.received) != 2 || m.received[1].All || len(m.received[1].Names) != 1 {
		t.Errorf("the target is told: %+v", m.received)
	}
	if wait <= secondLook || wait > rescanInterval {
		t.Errorf("then the next look comes after %v", wait)
	}
}

// TestScansTakeTurns: checks between two scans do not scan.
func TestScansTakeTurns(t *testing.T) {
	dir := t.TempDir()
	w, _ := withoutEventsIn(t, dir)
	d, m := unstarted(t, w, dir)
	d.check()
	d.check()
	d.check()
	if len(m.received) != 1 || !m.received[0].All {
		t.Errorf("the target is told: %+v", m.received)
	}
	d.rescan = time.Now()
	d.check()
	if len(m.received) != 2 || !m.received[1].All {
		t.Errorf("the target is told: %+v", m.received)
	}
}

// TestCloseIsNoFault: that nothing is watched after Close is no fault. Nothing is logged or
// scanned.
func TestCloseIsNoFault(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	must.OK(t, os.WriteFile(target, nil, 0o644))
	must.OK(t, os.Symlink(target, filepath.Join(dir, "link")))
	for name, notice := range map[string]func(*Directory){
		"the directory may have moved": func(d *Directory) { d.own.moved.Store(true); d.check() },
		"changes may have been missed": func(d *Directory) { d.setLost(true); d.check() },
		"a link has changed":           func(d *Directory) { d.mark(Changes{Links: true}); d.apply() },
	} {
		t.Run(name, func(t *testing.T) {
			w, log := withoutEventsIn(t, t.TempDir())
			d, m := unstarted(t, w, dir)
			m.take(m.names())
			d.mark(Changes{Links: true})
			d.apply()
			if log.String() != "" {
				t.Fatalf("before: %s", log)
			}
			w.Close()
			notice(d)
			if log.String() != "" {
				t.Errorf("the log: %s", log)
			}
			for _, c := range m.received {
				if c.All {
					t.Errorf("a scan: %+v", m.received)
				}
			}
		})
	}
}

// TestBackBeforeItIsWatched: a directory that comes back while its absence is noted is watched at
// once. What was in it before that has no event, and is scanned.
func TestBackBeforeItIsWatched(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	must.OK(t, err)
	dir := filepath.Join(base, "d")
	must.OK(t, os.Mkdir(dir, 0o755))
	w := withoutSweep(t)
	d, m := unstarted(t, w, dir)
	must.OK(t, os.Rename(dir, dir+".away"))
	must.OK(t, os.Mkdir(dir+".next", 0o755))
	must.OK(t, os.WriteFile(filepath.Join(dir+".next", "a"), []byte("one"), 0o644))
	back := sync.OnceFunc(func() { must.OK(t, os.Rename(dir+".next", dir)) })
	w.unwatchable = func(looked string) error {
		if looked == base {
			back()
		}
		return unwatchable(looked)
	}
	d.check()
	w.unwatchable = unwatchable
	if d.own.content == nil {
		t.Fatal("it is not watched")
	}
	d.check()
	m.shows("what is in it", content{"a": "one"})
}

// TestPolledIsLoggedOnce: the log says once that a directory is scanned, and why.
func TestPolledIsLoggedOnce(t *testing.T) {
	dir := t.TempDir()
	w, log := withoutEventsIn(t, dir)
	d, _ := unstarted(t, w, dir)
	for range 3 {
		d.own.moved.Store(true)
		d.check()
	}
	if got := log.String(); strings.Count(got, "level=WARN") != 1 ||
		!strings.Contains(got, errNoEvents.Error()) {
		t.Errorf("the log: %s", got)
	}
}
