package follow

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/zmqauth/zmqauth/internal/files"
)

// errReplaced says that another directory has taken the place of one that was about to be watched.
var errReplaced = errors.New("the directory has been replaced meanwhile")

// watch is a directory that fsnotify watches. inotify has one watch for a directory, however many
// paths lead to it: symbolic links, or a file system that is mounted twice. So all of them share
// it. The watcher's mutex guards it.
type watch struct {
	id    files.ID
	path  string                         // by which fsnotify knows it
	whole map[*place]struct{}            // these hear of everything in the directory
	named map[string]map[*place]struct{} // these hear of one name in it
	ended bool

	events  int       // since counted
	counted time.Time // zero: there was none
}

// tie has a place hear of what happens in a watched directory.
type tie struct {
	watch *watch
	name  string // "": hear of everything
}

// join adds a place to those that hear.
func (t tie) join(p *place) {
	if t.name == "" {
		t.watch.whole[p] = struct{}{}
		return
	}
	if t.watch.named[t.name] == nil {
		t.watch.named[t.name] = make(map[*place]struct{})
	}
	t.watch.named[t.name][p] = struct{}{}
}

// leave removes a place. A watch of which nobody hears any more ends. The caller holds w.mu.
func (w *Watcher) leave(t tie, p *place) {
	x := t.watch
	if t.name == "" {
		delete(x.whole, p)
	} else if delete(x.named[t.name], p); len(x.named[t.name]) == 0 {
		delete(x.named, t.name)
	}
	if len(x.whole) == 0 && len(x.named) == 0 {
		w.end(x)
	}
}

// watchOf returns the watch of a directory that had this stamp. whole says that it is not for the
// sake of single names. The caller holds w.mu.
func (w *Watcher) watchOf(dir string, stamp files.Stamp, whole bool) (*watch, error) {
	if w.closed {
		return nil, ErrClosed
	}
	if x := w.byID[stamp.ID()]; x != nil {
		return x, nil
	}
	if !whole && w.isNoisy(stamp.ID()) {
		return nil, errNoisy
	}
	if w.notify == nil {
		notify, err := fsnotify.NewWatcher()
		if err != nil {
			return nil, err
		}
		w.notify = notify
		go w.takeEvents(notify)
		go w.takeErrors(notify)
	}
	if other := w.byPath[dir]; other != nil {
		w.end(other) // the path led to that directory once
	}
	if err := w.notify.Add(dir); err != nil {
		return nil, err
	}
	if now, err := files.StampOf(dir); err != nil || !now.SameFile(stamp) {
		_ = w.notify.Remove(dir)
		return nil, errReplaced
	}
	x := &watch{
		id:    stamp.ID(),
		path:  dir,
		whole: make(map[*place]struct{}),
		named: make(map[string]map[*place]struct{}),
	}
	w.byID[x.id], w.byPath[x.path] = x, x
	return x, nil
}

// end ends a watch, or takes note that it has ended by itself. Who heard of it finds out where the
// path leads now. The caller holds w.mu.
func (w *Watcher) end(x *watch) {
	if x.ended {
		return
	}
	x.ended = true
	delete(w.byID, x.id)
	delete(w.byPath, x.path)
	if w.notify != nil {
		_ = w.notify.Remove(x.path) // an error means that the watch has ended by itself
	}
	for p := range x.whole {
		p.mayHaveMoved(false)
	}
	for _, places := range x.named {
		for p := range places {
			p.mayHaveMoved(false)
		}
	}
}

// takeEvents gives events to the places until the watcher is closed.
func (w *Watcher) takeEvents(notify *fsnotify.Watcher) {
	for event := range notify.Events {
		w.route(event)
	}
}

// route gives an event to the places that hear of it. Changes of a file's mode count, because they
// may make it readable.
//
// The event does not tell whether its path is that of a watched directory or of a name in one. So
// it may be taken for both. What does not hear of a name must cost next to nothing: the directory
// may be one in which others write all the time.
func (w *Watcher) route(event fsnotify.Event) {
	path := filepath.Clean(event.Name)
	dir := filepath.Dir(path)
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.byPath[dir]; x != nil && dir != path {
		name := filepath.Base(path)
		for p := range x.whole {
			p.owner.heard(p, name)
		}
		for p := range x.named[name] {
			p.mayHaveMoved(false)
		}
		if len(x.whole) == 0 {
			w.count(x)
		}
	}
	x := w.byPath[path]
	switch {
	case x == nil:
	case event.Has(fsnotify.Remove | fsnotify.Rename):
		w.end(x)
	case event.Has(fsnotify.Chmod):
		for p := range x.whole {
			p.owner.heard(p, "")
		}
		for _, places := range x.named {
			for p := range places {
				p.mayHaveMoved(false)
			}
		}
	}
}
