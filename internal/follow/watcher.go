// Package follow watches directories and files whose content is in force, and tells a target about
// their changes.
//
// Both are watched by inotify, through fsnotify: a [Directory] itself, and for both the directories
// that their paths lead over, and those that the symbolic links in a Directory lead over. The
// events of a Directory are gathered and given to the target in bursts. Nothing else happens while
// nothing changes, but for the sweep: one goroutine that looks for what has no event. That is a
// file system that is mounted or unmounted, a directory far above that is renamed, a [File] that is
// written by a hard link elsewhere or through memory. The sweep looks at 1,000 paths a second: at
// each of up to 250 paths every 250 ms, at more less often. It looks at what links in Directories
// lead to at the same rate, and not at the files in them.
//
// What cannot be watched is looked at by its own goroutine, several times a second.
package follow

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/zmqauth/zmqauth/internal/files"
)

// ErrClosed is the error of following something after Close.
var ErrClosed = errors.New("the watcher is closed")

// Watcher follows directories and files. Each has a goroutine of its own. All share one inotify
// instance, because the system allows a user only a few. Make a Watcher with [New]. Any goroutine
// may call its methods.
type Watcher struct {
	say       func(line func(*slog.Logger))
	overflows atomic.Uint64 // how often events have been lost

	unwatchable func(dir string) error // why changes in a directory have no event; nil: they have

	// mu is held while methods of fsnotify are called, which wait for a mutex of fsnotify. So
	// takeErrors must not lock it.
	mu           sync.Mutex
	notify       *fsnotify.Watcher // nil before the first watch, or if there is no inotify
	directories  map[*Directory]struct{}
	files        int // that are followed
	byID         map[files.ID]*watch
	byPath       map[string]*watch      // the same ones, by the path that is in their events
	noisy        map[files.ID]time.Time // directories that are not watched until then
	paths, links round                  // that the sweep looks at
	sweeping     bool                   // the sweep's goroutine has begun
	polled       int                    // places that their owners look at
	closed       bool
	done         chan struct{} // closed by Close

	watchSources sync.Once
}

// New returns a Watcher that follows nothing yet. say logs a line. It must not wait for the logger.
func New(say func(line func(*slog.Logger))) *Watcher {
	return &Watcher{
		say:         say,
		unwatchable: unwatchable,
		done:        make(chan struct{}),
		directories: make(map[*Directory]struct{}),
		byID:        make(map[files.ID]*watch),
		byPath:      make(map[string]*watch),
		noisy:       make(map[files.ID]time.Time),
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
	Files       int    // that are followed
	Watches     int    // inotify watches on followed directories
	Parents     int    // further inotify watches, on directories that paths and links lead over
	Polled      int    // paths that cannot be watched, and are looked at several times a second
	Overflows   uint64 // how often events were lost, so that everything was scanned
}

// Stats returns the present counts. Its time grows with the number of watches.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Stats{
		Directories: len(w.directories), Files: w.files,
		Polled: w.polled, Overflows: w.overflows.Load(),
	}
	for _, x := range w.byPath {
		if len(x.whole) > 0 {
			s.Watches++
		} else {
			s.Parents++
		}
	}
	return s
}

// FollowDirectory watches the directory at path and gathers its events. Next, the caller has the
// target read the present content, and calls Start. To give up it calls Stop. The errors are
// ErrClosed, and the reason why the path cannot be used, without the path. It is not an error if
// there is no watch: the directory is scanned then.
func (w *Watcher) FollowDirectory(path string, target DirectoryTarget) (*Directory, error) {
	d := newDirectory(w, path, target)
	if _, err := d.own.look(); err != nil {
		return nil, files.Bare(err)
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, ErrClosed
	}
	w.directories[d] = struct{}{}
	w.mu.Unlock()
	w.tie(d.own)
	d.lost = d.own.contentFault != nil
	return d, nil
}

// FollowFile reads the file at path, of at most limit bytes, and has the target load it. Next, the
// caller calls Start, or drops the File. The errors are ErrClosed, the error of the target, and the
// reason why the file cannot be read, without the path. FollowFile waits half a second for a file
// that is being written.
func (w *Watcher) FollowFile(path string, limit int, target FileTarget) (*File, error) {
	f := newFile(path, limit, target, w.done)
	f.watcher = w
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
