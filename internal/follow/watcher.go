// Package follow keeps up with directories and files that change while what they hold is in force.
//
// What the system tells of a [Directory] (inotify, by way of fsnotify) is gathered and handed to
// its target; where the system tells nothing, the directory is scanned. A [File] is looked at four
// times a second: for a single file that costs less than a watch, and shows every way of replacing
// it.
package follow

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"

	"github.com/zmqauth/zmqauth/internal/files"
)

// ErrClosed is that of following something after Close.
var ErrClosed = errors.New("the watcher is closed")

// Watcher follows directories and files, each by a goroutine of its own. All of its directories
// share one inotify instance, because the system allows a user few of them. Make one with [New];
// all methods may be called by any goroutine.
type Watcher struct {
	say       func(line func(*slog.Logger))
	overflows atomic.Uint64 // counts how often events have been lost

	// No method of fsnotify's that waits for its mutex may be waited for by its errors: see
	// takeErrors.
	mu          sync.Mutex
	notify      *fsnotify.Watcher // nil before the first directory, or where there is none to be had
	directories map[*Directory]struct{}
	watches     map[string]int // how many directories need each watch, by its real path
	closed      bool
	done        chan struct{} // closed with it
}

// New is a Watcher that follows nothing, yet. say logs a line; it must not wait for the logger.
func New(say func(line func(*slog.Logger))) *Watcher {
	return &Watcher{
		say: say, done: make(chan struct{}),
		directories: make(map[*Directory]struct{}), watches: make(map[string]int),
	}
}

// Done is closed once nothing is followed any more.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// Close stops following everything. It does not wait for targets that are busy. A second call does
// nothing.
func (w *Watcher) Close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	close(w.done)
	open := slices.Collect(maps.Keys(w.directories))
	if w.notify != nil {
		_ = w.notify.Close()
		w.notify = nil
	}
	w.mu.Unlock()
	for _, d := range open {
		d.Stop()
	}
}

// Stats is what a Watcher is busy with.
type Stats struct {
	Directories int    // that are followed
	Watches     int    // of the system's: on those, and on what their symbolic links lead over
	Overflows   uint64 // how often events have been lost, and everything has been scanned for that
}

// Stats is what w is busy with now.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{len(w.directories), len(w.watches), w.overflows.Load()}
}

// FollowDirectory starts watching path, a directory, and gathers what happens there. Have the
// target read the present state then, and call Start; or Stop. The errors are ErrClosed, and
// without the path why there is nothing to look at. That there is no watch to be had is none: scans
// take its place.
func (w *Watcher) FollowDirectory(path string, target DirectoryTarget) (*Directory, error) {
	d := newDirectory(w, filepath.Clean(path), target)
	identity, err := os.Stat(d.path)
	if err != nil {
		return nil, files.Bare(err)
	}
	d.identity = identity
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrClosed
	}
	w.directories[d] = struct{}{}
	d.real, err = w.add(d.path)
	d.lost = err != nil
	return d, nil
}

// FollowFile reads the file at path, of at most limit bytes, and has the target load it. Call Start
// then, or drop it. The errors are ErrClosed, the target's, and without the path why the file
// cannot be read. Where it is being written, FollowFile waits for half a second.
func (w *Watcher) FollowFile(path string, limit int, target FileTarget) (*File, error) {
	f := newFile(path, limit, target, w.done)
	if err := f.loadFirst(); err != nil {
		return nil, err
	}
	select {
	case <-w.done:
		return nil, ErrClosed
	default:
		return f, nil
	}
}

// add watches a directory, or counts one more that needs it, and returns its real path: inotify
// knows a directory by one name alone. The caller holds w.mu.
func (w *Watcher) add(dir string) (real string, err error) {
	if w.closed {
		return dir, ErrClosed
	}
	real, err = filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	w.watches[real]++
	if w.notify == nil {
		notify, err := fsnotify.NewWatcher()
		if err != nil {
			return real, err
		}
		w.notify = notify
		go w.takeEvents(notify)
		go w.takeErrors(notify)
	}
	return real, w.notify.Add(real)
}

// remove undoes one add. The caller holds w.mu.
func (w *Watcher) remove(real string) {
	if w.watches[real]--; w.watches[real] > 0 {
		return
	}
	delete(w.watches, real)
	if w.notify != nil {
		_ = w.notify.Remove(real) // an error: the watch has ended by itself
	}
}

// forget ends what the watcher does for d.
func (w *Watcher) forget(d *Directory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.directories, d)
	w.remove(d.real)
	for _, other := range d.linked {
		w.remove(other.real)
	}
}

// takeEvents hands events to the directories until the watcher is closed.
func (w *Watcher) takeEvents(notify *fsnotify.Watcher) {
	for event := range notify.Events {
		w.route(event)
	}
}

// takeErrors takes fsnotify's errors. It takes no lock, because fsnotify holds its own while it
// hands them over.
func (w *Watcher) takeErrors(notify *fsnotify.Watcher) {
	for err := range notify.Errors {
		if errors.Is(err, syscall.EINVAL) { // a watch that has ended by itself before it was removed
			continue
		}
		w.overflows.Add(1)
		w.say(func(log *slog.Logger) {
			log.Warn("zmqauth: events of followed directories are lost, all are scanned now", "error", err)
		})
	}
}

// route hands an event to all that it concerns. A change of a file's mode is one, too: it may be
// readable at last.
func (w *Watcher) route(event fsnotify.Event) {
	dir := filepath.Dir(event.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.directories {
		linked := d.leadsOver(dir)
		if linked || dir == d.real || event.Name == d.real {
			d.note(event, linked)
		}
	}
}
