package zmqauth

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/zmqauth/zmqauth/internal/files"
)

// followed is what keeps up with a directory. Its methods are called by one goroutine.
type followed interface {
	// refresh takes over what has changed: the files named, those behind symbolic links, or whatever differs.
	refresh(c changes)
	// elsewhere names the directories that the directory's symbolic links lead over. They need not exist.
	elsewhere() []string
	// unfinished takes away what could not be told at the last refresh and is to be looked at again.
	unfinished() changes
}

// changes is what is known to have happened below a directory.
type changes struct {
	names map[string]struct{} // of its files
	links bool                // something that its symbolic links lead over
	all   bool                // anything
}

func (c *changes) merge(other changes) {
	c.links, c.all = c.links || other.links, c.all || other.all
	if c.names == nil {
		c.names = other.names
		return
	}
	maps.Copy(c.names, other.names)
}

func (c *changes) any() bool { return len(c.names) > 0 || c.links || c.all }

const (
	// checkInterval is how often a path is looked at for what the watch on a directory does not tell: that the path leads
	// to another directory by now. With gatherLimit and missingChecks it bounds how long a change takes.
	checkInterval = 250 * time.Millisecond
	// quietPeriod without a further event ends a burst, gatherLimit does so in any case.
	quietPeriod = 25 * time.Millisecond
	gatherLimit = 100 * time.Millisecond
	// rescanInterval is how often a directory that cannot be watched is scanned.
	rescanInterval = 500 * time.Millisecond
	// secondLook is when what a burst has left open is looked at again: a file that was not there may have been renamed.
	secondLook = 50 * time.Millisecond
	// missingChecks in a row have to miss a directory before its files count as removed: a directory may be replaced in
	// two steps.
	missingChecks = 2
)

// follow is one directory that is followed.
type follow struct {
	watcher *watcher
	path    string
	target  followed
	stopped chan struct{}
	stop    func()
	wake    chan struct{} // holds a token while pending is not empty

	mu      sync.Mutex
	pending changes
	lost    bool // the watch has ended, or has never been

	// Guarded by the watcher's mutex.
	real  string             // the path without symbolic links, by which it is watched
	extra map[string]foreign // the directories elsewhere

	// The goroutine's own.
	identity os.FileInfo
	missing  int
	reported bool   // that there is no watch
	overflow uint64 // of the watcher's, as seen last
}

// foreign is a directory that symbolic links lead over.
type foreign struct {
	info os.FileInfo // nil: there is none by that name
	real string
	lost bool // it cannot be watched: what is in it is looked at from time to time
}

// begin starts the goroutine.
func (f *follow) begin() { go f.run() }

func (f *follow) run() {
	defer f.watcher.forget(f)
	select {
	case <-f.stopped:
		return
	default:
	}
	if len(f.target.elsewhere()) > 0 { // what they lead to may have changed since it was read
		f.mu.Lock()
		f.pending.links = true
		f.mu.Unlock()
		f.apply()
	}
	check := time.NewTimer(checkInterval)
	defer check.Stop()
	for {
		select {
		case <-f.stopped:
			return
		case <-f.wake:
			f.gather()
			f.apply()
			check.Reset(secondLook)
		case <-check.C:
			check.Reset(f.check())
		}
	}
}

// gather waits for the end of a burst of events.
func (f *follow) gather() {
	limit := time.NewTimer(gatherLimit)
	defer limit.Stop()
	for {
		quiet := time.NewTimer(quietPeriod)
		select {
		case <-f.wake:
			quiet.Stop()
		case <-quiet.C:
			return
		case <-limit.C:
			quiet.Stop()
			return
		case <-f.stopped:
			quiet.Stop()
			return
		}
	}
}

// apply hands what has been gathered to the target.
func (f *follow) apply() {
	f.mu.Lock()
	c := f.pending
	f.pending = changes{}
	f.mu.Unlock()
	c.merge(f.target.unfinished())
	if !c.any() {
		return
	}
	if c.links || c.all { // first, so that nothing is missed
		f.watchElsewhere()
	}
	f.target.refresh(c)
	f.watcher.mu.Lock()
	known := slices.Sorted(maps.Keys(f.extra))
	f.watcher.mu.Unlock()
	if !slices.Equal(known, f.target.elsewhere()) {
		f.watchElsewhere()
		f.target.refresh(changes{links: true}) // for what has happened before there was a watch
	}
}

// check looks whether the path still leads to the directory that is watched, and returns when to look again.
func (f *follow) check() time.Duration {
	f.mu.Lock()
	lost := f.lost
	f.mu.Unlock()
	info, err := os.Stat(f.path)
	switch {
	case files.IsGone(err):
		f.missing++
		if f.missing == missingChecks {
			f.watcher.say(func(log *slog.Logger) {
				log.Warn("zmqauth: a directory is gone, and what was in it is out of force until it comes back", "directory", f.path)
			})
			f.rescan()
		}
		f.checkElsewhere()
		return checkInterval
	case err != nil: // nobody can tell what is in it: what was in force stays, and all is looked at as soon as it can be
		f.mu.Lock()
		f.lost = true
		f.mu.Unlock()
		return checkInterval
	case f.missing >= missingChecks:
		f.watcher.say(func(log *slog.Logger) { log.Info("zmqauth: a directory is back", "directory", f.path) })
		lost = true
	}
	f.missing = 0
	if !lost && os.SameFile(info, f.identity) && f.isWatched() {
		f.checkElsewhere()
		return checkInterval
	}
	f.identity = info
	return f.rewatch()
}

// checkElsewhere looks at what no event tells: whether symbolic links lead over other directories by now, under the same
// names, whether events have been lost, and what could not be finished.
func (f *follow) checkElsewhere() {
	f.watcher.mu.Lock()
	known := maps.Clone(f.extra)
	f.watcher.mu.Unlock()
	var again changes
	for dir, before := range known {
		again.links = again.links || before.lost || !sameDirectory(before.info, identify(dir))
	}
	if seen := f.watcher.overflow.Load(); seen != f.overflow {
		f.overflow, again.all = seen, true
	}
	f.mu.Lock()
	f.pending.merge(again)
	f.mu.Unlock()
	f.apply()
}

// identify is what tells a directory from another of the same name, nil where there is none.
func identify(dir string) os.FileInfo {
	info, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	return info
}

// sameDirectory tells whether two looks at a name have met the same directory. The times tell it from one that has got
// the same inode.
func sameDirectory(before, now os.FileInfo) bool {
	if before == nil || now == nil {
		return before == nil && now == nil
	}
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime())
}

// isWatched tells whether there is a watch still: one may end without an event, when a file system is unmounted.
func (f *follow) isWatched() bool {
	f.watcher.mu.Lock()
	notify, real := f.watcher.notify, f.real
	f.watcher.mu.Unlock()
	return notify != nil && slices.Contains(notify.WatchList(), real)
}

// rewatch watches the path anew and scans it, the watch first. Without a watch there will be scans from time to time.
func (f *follow) rewatch() time.Duration {
	f.watcher.mu.Lock()
	f.watcher.remove(f.real)
	real, err := f.watcher.add(f.path)
	f.real = real
	f.watcher.mu.Unlock()
	f.mu.Lock()
	f.lost = err != nil
	f.mu.Unlock()
	if err != nil && !f.reported {
		f.watcher.say(func(log *slog.Logger) {
			log.Warn("zmqauth: a directory cannot be watched, it is scanned from time to time instead", "directory", f.path, "error", err)
		})
	}
	f.reported = err != nil
	begun := time.Now()
	f.rescan()
	if err == nil {
		return checkInterval
	}
	return max(rescanInterval, time.Since(begun)) // a scan never takes more than half of the time
}

func (f *follow) rescan() {
	f.mu.Lock()
	f.pending.all = true
	f.mu.Unlock()
	f.apply()
}

// watchElsewhere watches the directories that symbolic links lead over, all of them anew: a name may lead to another
// directory than before.
func (f *follow) watchElsewhere() {
	dirs := f.target.elsewhere()
	f.watcher.mu.Lock()
	defer f.watcher.mu.Unlock()
	for _, other := range f.extra {
		f.watcher.remove(other.real)
	}
	clear(f.extra)
	for _, dir := range dirs {
		info := identify(dir)
		real, err := f.watcher.add(dir)
		lost := err != nil && info != nil
		f.extra[dir] = foreign{info, real, lost}
		if lost && !f.reported {
			f.reported = true
			f.watcher.say(func(log *slog.Logger) {
				log.Warn("zmqauth: a directory that symbolic links lead to cannot be watched, it is scanned from time to time instead",
					"directory", dir, "error", err)
			})
		}
	}
}

// note adds an event to what is pending; the caller holds the watcher's mutex. elsewhere tells that symbolic links lead over
// where it has happened.
func (f *follow) note(event fsnotify.Event, elsewhere bool) {
	f.mu.Lock()
	dir, name := filepath.Split(event.Name)
	switch {
	case event.Name == f.real: // the directory itself
		f.lost = f.lost || event.Has(fsnotify.Remove|fsnotify.Rename)
		f.pending.all = f.pending.all || event.Has(fsnotify.Chmod) // it may have been unreadable
	case filepath.Clean(dir) != f.real || name[0] == '.':
		f.pending.links = true
	default:
		if f.pending.names == nil {
			f.pending.names = make(map[string]struct{})
		}
		f.pending.names[name] = struct{}{}
		f.pending.links = f.pending.links || elsewhere
	}
	f.mu.Unlock()
	f.ring()
}

func (f *follow) ring() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// leadsOver tells whether symbolic links of the directory lead over dir, a real path. The caller holds the watcher's mutex.
func (f *follow) leadsOver(dir string) bool {
	for _, other := range f.extra {
		if other.real == dir {
			return true
		}
	}
	return false
}
