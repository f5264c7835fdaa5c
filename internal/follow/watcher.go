// Package follow watches directories and files whose content is in force, and tells a target about
// their changes.
//
// A [Directory] is watched by inotify, through fsnotify. Its events are gathered and given to the
// target in bursts. If there is no watch the directory is scanned instead. A [File] is checked four
// times a second. For a single file that costs less than a watch, and it finds every way of
// replacing the file.
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

// ErrClosed is the error of following something after Close.
var ErrClosed = errors.New("the watcher is closed")

// Watcher follows directories and files. Each has a goroutine of its own. All directories share one
// inotify instance, because the system allows a user only a few. Make a Watcher with [New]. Any
// goroutine may call its methods.
type Watcher struct {
	say       func(line func(*slog.Logger))
	overflows atomic.Uint64 // how often events have been lost

	// mu is held while methods of fsnotify are called, which wait for a mutex of fsnotify. So
	// takeErrors must not lock it.
	mu          sync.Mutex
	notify      *fsnotify.Watcher // nil before the first directory, or if there is no inotify
	directories map[*Directory]struct{}
	watches     map[string]int // how many directories need a watch, by the real path
	closed      bool
	done        chan struct{} // closed by Close
}

// New returns a Watcher that follows nothing yet. say logs a line. It must not wait for the logger.
func New(say func(line func(*slog.Logger))) *Watcher {
	return &Watcher{
		say:         say,
		done:        make(chan struct{}),
		directories: make(map[*Directory]struct{}),
		watches:     make(map[string]int),
	}
}

// Done returns a channel that Close closes.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// Close stops following everything. It does not wait for busy targets. A second call does nothing.
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

// Stats counts what a Watcher does.
type Stats struct {
	Directories int    // that are followed
	Watches     int    // inotify watches on those and on the directories of symbolic links
	Overflows   uint64 // how often events were lost, so that everything was scanned
}

// Stats returns the present counts.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Stats{len(w.directories), len(w.watches), w.overflows.Load()}
}

// FollowDirectory watches the directory at path and gathers its events. Next, the caller has the
// target read the present content, and calls Start. To give up it calls Stop. The errors are
// ErrClosed, and the reason why the path cannot be used, without the path. It is not an error if
// there is no watch: the directory is scanned then.
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

// FollowFile reads the file at path, of at most limit bytes, and has the target load it. Next, the
// caller calls Start, or drops the File. The errors are ErrClosed, the error of the target, and the
// reason why the file cannot be read, without the path. FollowFile waits half a second for a file
// that is being written.
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

// add watches a directory, or counts one more user of its watch. It returns the real path of the
// directory, because inotify has one watch for all names of a directory. The caller holds w.mu.
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
		_ = w.notify.Remove(real) // an error means that the watch has ended by itself
	}
}

// forget removes a directory and its watches.
func (w *Watcher) forget(d *Directory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.directories, d)
	w.remove(d.real)
	for _, other := range d.linked {
		w.remove(other.real)
	}
}

// takeEvents gives events to the directories until the watcher is closed.
func (w *Watcher) takeEvents(notify *fsnotify.Watcher) {
	for event := range notify.Events {
		w.route(event)
	}
}

// takeErrors takes the errors of fsnotify. It must not lock w.mu: fsnotify holds its own mutex
// while it sends an error.
func (w *Watcher) takeErrors(notify *fsnotify.Watcher) {
	for err := range notify.Errors {
		if errors.Is(err, syscall.EINVAL) {
			continue // a watch had ended by itself before it was removed
		}
		w.overflows.Add(1)
		w.say(func(log *slog.Logger) {
			log.Warn("zmqauth: events of followed directories are lost, all are scanned now", "error", err)
		})
	}
}

// route gives an event to the directories that it concerns. Changes of a file's mode count, because
// they may make it readable.
func (w *Watcher) route(event fsnotify.Event) {
	dir := filepath.Dir(event.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.directories {
		linked := d.isLinked(dir)
		if linked || dir == d.real || event.Name == d.real {
			d.note(event, linked)
		}
	}
}
