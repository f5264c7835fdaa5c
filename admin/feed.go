package admin

import (
	"errors"
	"sync"

	"github.com/zmqauth/zmqauth"
)

// Feed passes on which sessions open and end to those who watch. Its zero value is ready: give its
// OnSession to zmqauth.Config, and the Feed to Listen.
type Feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

const (
	// maxWatchers is how many may watch at the same time.
	maxWatchers = 16
	// maxEvents is how many events wait for one of them. More are left out, and counted.
	maxEvents = 4096
)

// watcher is one who watches.
type watcher struct {
	match func(zmqauth.Session) bool
	wake  chan struct{} // has a token while there may be events

	mu     sync.Mutex
	events []change
	lost   uint64 // since the last one in events
}

// change is a session that has opened or ended.
type change struct {
	session zmqauth.Session
	open    bool
}

var errManyWatchers = errors.New("too many watch already")

// OnSession is for [zmqauth.Config]. It never waits.
func (f *Feed) OnSession(s zmqauth.Session, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		if w.match(s) {
			w.add(change{s, open})
		}
	}
}

// watch adds a watcher, who gets the sessions that match.
func (f *Feed) watch(match func(zmqauth.Session) bool) (*watcher, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) >= maxWatchers {
		return nil, errManyWatchers
	}
	if f.watchers == nil {
		f.watchers = make(map[*watcher]struct{})
	}
	w := &watcher{match: match, wake: make(chan struct{}, 1)}
	f.watchers[w] = struct{}{}
	return w, nil
}

func (f *Feed) leave(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
}

func (w *watcher) add(c change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost > 0 || len(w.events) >= maxEvents {
		w.lost++
		return
	}
	w.events = append(w.events, c)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns what has come, and how many events were left out after that.
func (w *watcher) take() (events []change, lost uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, lost = w.events, w.lost
	w.events, w.lost = nil, 0
	return events, lost
}
