package zmqauth

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// watcher follows directories, with one inotify instance (the system allows a user few of them) and a goroutine for each.
type watcher struct {
	say      func(line func(*slog.Logger)) // logs without waiting for the logger
	overflow atomic.Uint64                 // counts how often events have been lost

	// No method of fsnotify's that waits for its mutex may be waited for by its errors: see heed.
	mu      sync.Mutex
	notify  *fsnotify.Watcher // nil before the first directory, or where there is none to be had
	follows map[*follow]struct{}
	watched map[string]int // how many follows need each directory, by its real path
	closed  bool
	ended   chan struct{} // closed with it, for those that follow by themselves
}

func newWatcher(say func(func(*slog.Logger))) *watcher {
	return &watcher{say: say, ended: make(chan struct{})}
}

// follow starts watching path, a directory, and gathers what happens there. Call begin once the present state has been
// read, or stop.
func (w *watcher) follow(path string, target followed) (*follow, error) {
	f := &follow{watcher: w, path: filepath.Clean(path), target: target, stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		extra: make(map[string]foreign), overflow: w.overflow.Load()}
	f.stop = sync.OnceFunc(func() { close(f.stopped) })
	identity, err := os.Stat(f.path)
	if err != nil {
		return nil, fileError(path, err)
	}
	f.identity = identity
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrClosed
	}
	if w.follows == nil {
		w.follows, w.watched = make(map[*follow]struct{}), make(map[string]int)
	}
	w.follows[f] = struct{}{}
	f.real, err = w.add(f.path)
	f.lost = err != nil
	return f, nil
}

// add watches a directory, or counts one more that needs it, and returns its real path: inotify knows a directory by one
// name alone. The caller holds w.mu.
func (w *watcher) add(dir string) (real string, err error) {
	if w.closed {
		return dir, ErrClosed
	}
	real, err = filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	w.watched[real]++
	if w.notify == nil {
		notify, err := fsnotify.NewWatcher()
		if err != nil {
			return real, err
		}
		w.notify = notify
		go w.run(notify)
		go w.heed(notify)
	}
	return real, w.notify.Add(real)
}

// remove undoes one add. The caller holds w.mu.
func (w *watcher) remove(real string) {
	if w.watched[real]--; w.watched[real] > 0 {
		return
	}
	delete(w.watched, real)
	if w.notify != nil {
		_ = w.notify.Remove(real) // an error: the watch has ended by itself
	}
}

// forget ends what the watcher does for f.
func (w *watcher) forget(f *follow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.follows, f)
	w.remove(f.real)
	for _, other := range f.extra {
		w.remove(other.real)
	}
}

// run hands events to the follows until the watcher is closed.
func (w *watcher) run(notify *fsnotify.Watcher) {
	for event := range notify.Events {
		w.route(event)
	}
}

// heed takes fsnotify's errors. It takes no lock, because fsnotify holds its own while it hands them over.
func (w *watcher) heed(notify *fsnotify.Watcher) {
	for err := range notify.Errors {
		if errors.Is(err, syscall.EINVAL) { // a watch that has ended by itself before it was removed
			continue
		}
		w.overflow.Add(1)
		w.say(func(log *slog.Logger) {
			log.Warn("zmqauth: events of followed directories are lost, all are scanned now", "error", err)
		})
	}
}

// route hands an event to all that it concerns. A change of a file's mode is one, too: it may be readable at last.
func (w *watcher) route(event fsnotify.Event) {
	dir := filepath.Dir(event.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.follows {
		elsewhere := f.leadsOver(dir)
		if elsewhere || dir == f.real || event.Name == f.real {
			f.note(event, elsewhere)
		}
	}
}

// close ends all follows.
func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	close(w.ended)
	for f := range w.follows {
		f.stop()
	}
	if w.notify != nil {
		_ = w.notify.Close()
		w.notify = nil
	}
}
