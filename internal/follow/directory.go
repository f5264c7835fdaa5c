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
	// checkInterval is the time between two checks of a path. A watch does not tell that the path
	// of a directory leads to another directory now. Together with gatherLimit and missingChecks
	// it limits how long a change takes to be seen.
	checkInterval = 250 * time.Millisecond
	// QuietPeriod is the time without an event that ends a burst.
	QuietPeriod = 25 * time.Millisecond
	// gatherLimit is the longest time that a burst lasts. Then its events are handled in any case.
	gatherLimit = 100 * time.Millisecond
	// rescanInterval is the time between two scans of a directory that cannot be watched.
	rescanInterval = 500 * time.Millisecond
	// secondLook is the time from a burst to the check of what the target has not finished. A file
	// that was missing may have been in the middle of a renaming.
	secondLook = 50 * time.Millisecond
	// missingChecks is how many checks in a row must miss a path before it counts as removed.
	// Somebody may be replacing it in two steps.
	missingChecks = 2
)

// Directory is a directory that is followed. [Watcher.FollowDirectory] makes it.
type Directory struct {
	watcher *Watcher
	path    string
	target  DirectoryTarget
	begun   sync.Once // by Start, or by Stop without a Start
	stopped chan struct{}
	stop    func()
	wake    chan struct{} // has a token while pending is not empty

	mu      sync.Mutex
	pending Changes
	lost    bool // there is no watch, or it has ended

	// Guarded by the watcher's mutex.
	real   string                     // the path without symbolic links, by which it is watched
	linked map[string]linkedDirectory // by the name that the target uses

	// Only the goroutine uses these.
	identity  os.FileInfo
	missing   int    // checks in a row that have not found it
	reported  bool   // the log says that there is no watch
	overflows uint64 // the watcher's count at the last check
}

func newDirectory(w *Watcher, path string, target DirectoryTarget) *Directory {
	d := &Directory{
		watcher:   w,
		path:      path,
		target:    target,
		stopped:   make(chan struct{}),
		wake:      make(chan struct{}, 1),
		linked:    make(map[string]linkedDirectory),
		overflows: w.overflows.Load(),
	}
	d.stop = sync.OnceFunc(func() { close(d.stopped) })
	return d
}

// Start begins to give changes to the target, including those that were gathered before. It does
// nothing after Stop.
func (d *Directory) Start() { d.begun.Do(func() { go d.run() }) }

// Stop stops following the directory, whether Start was called or not. It does not wait for a busy
// target.
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
	if len(d.target.LinkedDirectories()) > 0 {
		// They were not watched when the target read their files, which may have changed since.
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

// mark adds to the pending changes.
func (d *Directory) mark(c Changes) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending.Merge(c)
}

// apply gives the pending changes to the target.
func (d *Directory) apply() {
	d.mu.Lock()
	c := d.pending
	d.pending = Changes{}
	d.mu.Unlock()
	c.Merge(d.target.Unfinished())
	if !c.any() {
		return
	}
	if c.Links || c.All {
		d.watchLinked() // before the files are read, so that no change is missed
	}
	d.target.Refresh(c)
	if !slices.Equal(d.linkedNames(), d.target.LinkedDirectories()) {
		d.watchLinked()
		d.target.Refresh(Changes{Links: true}) // changes before there was a watch had no event
	}
}

// check finds out whether the path still leads to the directory that is watched. It returns the
// time until the next check.
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
				log.Warn("zmqauth: a directory is gone, "+
					"and what was in it is out of force until it comes back", "directory", d.path)
			})
			d.scan()
		}
		d.checkLinked()
		return checkInterval
	case err != nil:
		// The content is unknown. The previous content stays in force, and the directory is
		// scanned as soon as that is possible.
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

// isWatched tells whether there still is a watch. When a file system is unmounted a watch ends
// without an event.
func (d *Directory) isWatched() bool {
	d.watcher.mu.Lock()
	notify, real := d.watcher.notify, d.real
	d.watcher.mu.Unlock()
	return notify != nil && slices.Contains(notify.WatchList(), real)
}

// rewatch watches the path again and then scans it, in this order so that no change is missed. It
// returns the time until the next check. Without a watch, every check scans.
func (d *Directory) rewatch() time.Duration {
	d.watcher.mu.Lock()
	d.watcher.remove(d.real)
	real, err := d.watcher.add(d.path)
	d.real = real
	d.watcher.mu.Unlock()
	d.setLost(err != nil)
	if err != nil && !d.reported {
		d.watcher.say(func(log *slog.Logger) {
			log.Warn("zmqauth: a directory cannot be watched, "+
				"it is scanned from time to time instead", "directory", d.path, "error", err)
		})
	}
	d.reported = err != nil
	begun := time.Now()
	d.scan()
	if err == nil {
		return checkInterval
	}
	return max(rescanInterval, time.Since(begun)) // scans take half of the time at most
}

func (d *Directory) setLost(lost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = lost
}

// scan has the target check all files.
func (d *Directory) scan() {
	d.mark(Changes{All: true})
	d.apply()
}

// note adds an event to the pending changes. linked says that it happened in a linked directory.
// The caller holds the watcher's mutex.
func (d *Directory) note(event fsnotify.Event, linked bool) {
	d.mu.Lock()
	dir, name := filepath.Split(event.Name)
	switch {
	case event.Name == d.real: // the directory itself
		d.lost = d.lost || event.Has(fsnotify.Remove|fsnotify.Rename)
		// Its mode has changed. It may have been unreadable before.
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
