package follow

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/zmqauth/zmqauth/internal/files"
)

const (
	// checkInterval is how often a path is looked at for what the watch on a directory does not tell:
	// that the path leads to another directory by now. With gatherLimit and missingChecks it bounds
	// how long a change takes.
	checkInterval = 250 * time.Millisecond
	// QuietPeriod without a further event ends a burst, gatherLimit does so in any case.
	QuietPeriod = 25 * time.Millisecond
	gatherLimit = 100 * time.Millisecond
	// rescanInterval is how often a directory that cannot be watched is scanned.
	rescanInterval = 500 * time.Millisecond
	// secondLook is when what a burst has left open is looked at again: a file that was not there may
	// have been renamed.
	secondLook = 50 * time.Millisecond
	// missingChecks in a row have to miss a directory, or a file, before it counts as removed: it may
	// be replaced in two steps.
	missingChecks = 2
)

// Directory is one directory that is followed. [Watcher.FollowDirectory] makes it.
type Directory struct {
	watcher *Watcher
	path    string
	target  DirectoryTarget
	begun   sync.Once // by Start, or by Stop without a Start
	stopped chan struct{}
	stop    func()
	wake    chan struct{} // has a token in it while pending is not empty

	mu      sync.Mutex
	pending Changes
	lost    bool // the watch has ended, or has never been

	// Guarded by the watcher's mutex.
	real   string                     // the path without symbolic links, by which it is watched
	linked map[string]linkedDirectory // by the names that the target gives them

	// The goroutine's own.
	identity  os.FileInfo
	missing   int    // checks in a row at which it was not there
	reported  bool   // that there is no watch
	overflows uint64 // the watcher's, as seen last
}

func newDirectory(w *Watcher, path string, target DirectoryTarget) *Directory {
	d := &Directory{
		watcher: w, path: path, target: target,
		stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		linked: make(map[string]linkedDirectory), overflows: w.overflows.Load(),
	}
	d.stop = sync.OnceFunc(func() { close(d.stopped) })
	return d
}

// Start hands changes to the target from now on, those too that have been gathered before. It does
// nothing after Stop.
func (d *Directory) Start() { d.begun.Do(func() { go d.run() }) }

// Stop ends that, whether it has been started or not. It does not wait for a target that is busy.
func (d *Directory) Stop() {
	d.stop()
	d.begun.Do(func() { d.watcher.forget(d) })
}

func (d *Directory) run() {
	defer d.watcher.forget(d)
	select {
	case <-d.stopped:
		return
	default:
	}
	if len(d.target.LinkedDirectories()) > 0 { // what they hold may have changed since it was read
		d.mark(Changes{Links: true})
		d.apply()
	}
	check := time.NewTimer(checkInterval)
	defer check.Stop()
	for {
		select {
		case <-d.stopped:
			return
		case <-d.wake:
			d.gather()
			d.apply()
			check.Reset(secondLook)
		case <-check.C:
			check.Reset(d.check())
		}
	}
}

// gather waits for the end of a burst of events.
func (d *Directory) gather() {
	limit := time.NewTimer(gatherLimit)
	defer limit.Stop()
	for {
		quiet := time.NewTimer(QuietPeriod)
		select {
		case <-d.wake:
			quiet.Stop()
		case <-quiet.C:
			return
		case <-limit.C:
			quiet.Stop()
			return
		case <-d.stopped:
			quiet.Stop()
			return
		}
	}
}

// mark adds to what is pending.
func (d *Directory) mark(c Changes) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending.Merge(c)
}

// apply hands what has been gathered to the target.
func (d *Directory) apply() {
	d.mu.Lock()
	c := d.pending
	d.pending = Changes{}
	d.mu.Unlock()
	c.Merge(d.target.Unfinished())
	if !c.any() {
		return
	}
	if c.Links || c.All { // first, so that nothing is missed
		d.watchLinked()
	}
	d.target.Refresh(c)
	if !slices.Equal(d.linkedNames(), d.target.LinkedDirectories()) {
		d.watchLinked()
		d.target.Refresh(Changes{Links: true}) // for what has happened before there was a watch
	}
}

// check looks whether the path still leads to the directory that is watched, and returns when to
// look again.
func (d *Directory) check() time.Duration {
	d.mu.Lock()
	lost := d.lost
	d.mu.Unlock()
	info, err := os.Stat(d.path)
	switch {
	case files.IsGone(err):
		d.missing++
		if d.missing == missingChecks {
			d.watcher.say(func(log *slog.Logger) {
				log.Warn("zmqauth: a directory is gone, and what was in it is out of force until it comes "+
					"back", "directory", d.path)
			})
			d.scan()
		}
		d.checkLinked()
		return checkInterval
	case err != nil:
		// Nobody can tell what is in it. What was in force stays, and all is looked at as soon as
		// it can be.
		d.setLost(true)
		return checkInterval
	case d.missing >= missingChecks:
		d.watcher.say(func(log *slog.Logger) {
			log.Info("zmqauth: a directory is back", "directory", d.path)
		})
		lost = true
	}
	d.missing = 0
	if !lost && os.SameFile(info, d.identity) && d.isWatched() {
		d.checkLinked()
		return checkInterval
	}
	d.identity = info
	return d.rewatch()
}

// isWatched tells whether there is a watch still: one may end without an event, when a file system
// is unmounted.
func (d *Directory) isWatched() bool {
	d.watcher.mu.Lock()
	notify, real := d.watcher.notify, d.real
	d.watcher.mu.Unlock()
	return notify != nil && slices.Contains(notify.WatchList(), real)
}

// rewatch watches the path anew and scans it, the watch first. It returns when to look again:
// without a watch there will be scans from time to time.
func (d *Directory) rewatch() time.Duration {
	d.watcher.mu.Lock()
	d.watcher.remove(d.real)
	real, err := d.watcher.add(d.path)
	d.real = real
	d.watcher.mu.Unlock()
	d.setLost(err != nil)
	if err != nil && !d.reported {
		d.watcher.say(func(log *slog.Logger) {
			log.Warn("zmqauth: a directory cannot be watched, it is scanned from time to time instead",
				"directory", d.path, "error", err)
		})
	}
	d.reported = err != nil
	begun := time.Now()
	d.scan()
	if err == nil {
		return checkInterval
	}
	return max(rescanInterval, time.Since(begun)) // a scan never takes more than half of the time
}

func (d *Directory) setLost(lost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = lost
}

// scan has the target look at everything.
func (d *Directory) scan() {
	d.mark(Changes{All: true})
	d.apply()
}

// note adds an event to what is pending; the caller holds the watcher's mutex. linked tells that
// symbolic links lead over where it has happened.
func (d *Directory) note(event fsnotify.Event, linked bool) {
	d.mu.Lock()
	dir, name := filepath.Split(event.Name)
	switch {
	case event.Name == d.real: // the directory itself
		d.lost = d.lost || event.Has(fsnotify.Remove|fsnotify.Rename)
		// Its mode has changed: it may have been unreadable.
		d.pending.All = d.pending.All || event.Has(fsnotify.Chmod)
	case filepath.Clean(dir) != d.real || name[0] == '.':
		d.pending.Links = true
	default:
		if d.pending.Names == nil {
			d.pending.Names = make(map[string]struct{})
		}
		d.pending.Names[name] = struct{}{}
		d.pending.Links = d.pending.Links || linked
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
