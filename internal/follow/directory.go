package follow

import (
	"sync"
	"time"
)

const (
	// checkInterval is the time between two looks at a path without a watch, and between two batches
	// of the sweep. Together with gatherLimit and missingPeriod it limits how long a change takes to
	// be seen.
	checkInterval = 250 * time.Millisecond
	// rest is the time until the next look at what is watched. Events and the sweep come before.
	rest = time.Hour
	// QuietPeriod is the time without an event that ends a burst.
	QuietPeriod = 25 * time.Millisecond
	// gatherLimit is the longest time that a burst lasts. Then its events are handled in any case.
	gatherLimit = 100 * time.Millisecond
	// rescanInterval is the time between two scans of a directory that cannot be watched.
	rescanInterval = 500 * time.Millisecond
	// secondLook is the time from a burst to the check of what the target has not finished. A file
	// that was missing may have been in the middle of a renaming.
	secondLook = 50 * time.Millisecond
	// missingPeriod is how long a path must be missing before it counts as removed. Somebody may be
	// replacing it in two steps.
	missingPeriod = checkInterval
)

// Directory is a directory that is followed. [Watcher.FollowDirectory] makes it.
type Directory struct {
	watcher *Watcher
	path    string
	target  DirectoryTarget
	begun   sync.Once // by Start, or by Stop without a Start
	stopped chan struct{}
	stop    func()
	burst   chan struct{} // has a token while pending is not empty
	look    chan struct{} // has a token while the path may lead elsewhere
	health  health

	mu      sync.Mutex
	pending Changes
	lost    bool // changes may have been missed

	own *place

	// Only the goroutine uses these.
	linked     map[string]*place // of the target's links, by their names
	unwatched  map[string]*place // of these, those not all of whose changes have an event
	again      Changes           // what the target has not finished
	checked    time.Time         // the last check
	missing    time.Time         // the first check that has not found it; zero: it is there
	gone       bool              // it counts as removed
	unreadable error             // why its files cannot be listed
	rescan     time.Time         // when it is scanned next if it cannot be watched
	repoll     time.Time         // when links without events are looked at next
	reported   bool              // the log says that there is no watch

	reportedLink bool // the log says that there is none of what a link leads to
}

func newDirectory(w *Watcher, path string, target DirectoryTarget) *Directory {
	d := &Directory{
		watcher:   w,
		path:      path,
		target:    target,
		stopped:   make(chan struct{}),
		burst:     make(chan struct{}, 1),
		look:      make(chan struct{}, 1),
		linked:    make(map[string]*place),
		unwatched: make(map[string]*place),
	}
	d.own = &place{path: path, owner: d, whole: true}
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
	d.begun.Do(d.forget)
}

// forget removes the directory and its watches from the watcher.
func (d *Directory) forget() {
	d.watcher.mu.Lock()
	defer d.watcher.mu.Unlock()
	delete(d.watcher.directories, d)
	d.watcher.untie(d.own)
	for _, p := range d.linked {
		d.watcher.untie(p)
	}
}

// Failing returns since when the directory has been missing or unreadable, and the last error,
// without the path. It returns the zero time and nil if there is no such fault. The content of its
// files does not count. Any goroutine may call it. It does not wait.
func (d *Directory) Failing() (since time.Time, err error) { return d.health.failing() }

func (d *Directory) run() {
	defer d.forget()
	select {
	case <-d.stopped:
		return
	default:
	}
	if len(d.target.Links()) > 0 {
		// What they lead to was not watched when the target read it. It may have changed since.
		d.mark(Changes{Links: true})
		d.apply()
	}
	timer := time.NewTimer(checkInterval)
	defer timer.Stop()
	due := time.Now().Add(checkInterval) // the next check. Nothing that happens may put it off
	for {
		select {
		case <-d.stopped:
			return
		case <-d.burst:
			d.gather()
			d.apply()
			due = earlier(due, time.Now().Add(secondLook))
		case <-d.look: // at once, but not all the time
			due = earlier(due, d.checked.Add(lookAgain))
		case <-timer.C:
		}
		if !time.Now().Before(due) {
			wait := d.check()
			d.checked = time.Now()
			due = d.checked.Add(wait)
		}
		timer.Reset(time.Until(due))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// gather waits for the end of a burst of events.
func (d *Directory) gather() {
	limit := time.NewTimer(gatherLimit)
	defer limit.Stop()
	for {
		quiet := time.NewTimer(QuietPeriod)
		select {
		case <-d.burst:
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

// heard implements owner. Links hear of single names, by wake.
func (d *Directory) heard(_ *place, name string) {
	if name == "" { // its mode has changed. It may have been unreadable before.
		d.tell(Changes{All: true})
		return
	}
	d.tell(Changes{Names: map[string]struct{}{name: {}}})
}

// wake implements owner. Where one link leads elsewhere without an event, others may do so too.
func (d *Directory) wake(p *place, swept bool) {
	switch {
	case p == d.own:
		give(d.look)
	case swept:
		d.tell(Changes{Links: true})
	default:
		d.tell(Changes{Names: map[string]struct{}{p.link: {}}})
	}
}

// tell adds to the pending changes and wakes the goroutine.
func (d *Directory) tell(c Changes) {
	d.mark(c)
	give(d.burst)
}

// mark adds to the pending changes.
func (d *Directory) mark(c Changes) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending.Merge(c)
}

// setLost notes whether changes may have been missed.
func (d *Directory) setLost(lost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = lost
}

// give puts a token into a channel that has room for one.
func give(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
