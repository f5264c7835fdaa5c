package follow

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

// retryInterval is the time between two attempts to watch what cannot be watched but is looked at
// from time to time.
const retryInterval = 5 * time.Second

// place is a path that is watched with all that it leads over. The sweep looks at it too, because
// some changes have no event: something is mounted there, or a directory far above is renamed.
type place struct {
	path  string
	owner owner
	whole bool // the path is that of a directory, and the owner hears of everything in it
	exact bool // the sweep compares times and sizes too
	moved atomic.Bool

	// Guarded by the watcher's mutex.
	ties    map[tie]struct{}
	content *watch // of the directory itself, nil: none
	index   int    // in the sweep's list, plus 1; 0: it is not there
	polled  bool   // it counts in the watcher's Stats

	// Only the owner's goroutine uses these.
	contentFault error // why the directory itself cannot be watched
	wayFault     error // why something on the way to it cannot be watched
	tied         time.Time

	mu   sync.Mutex
	seen sight
}

// sight is what a look at a path has found.
type sight struct {
	stamp files.Stamp
	err   error
}

// owner is a Directory or a File. Its methods must not wait. The caller may hold the watcher's
// mutex.
type owner interface {
	// heard tells of a file in the directory of the place, or, by the name "", of the directory
	// itself.
	heard(p *place, name string)
	// wake tells that the path may lead elsewhere, or to something that has changed.
	wake(p *place)
}

// mayHaveMoved has the owner find out where the path leads.
func (p *place) mayHaveMoved() {
	p.moved.Store(true)
	p.owner.wake(p)
}

// fault returns why not all changes of the place have an event. Then the owner has to look from
// time to time.
func (p *place) fault() error {
	if p.contentFault != nil {
		return p.contentFault
	}
	return p.wayFault
}

// due tells whether it is time to watch the place again.
func (p *place) due() bool {
	return p.moved.Load() || p.fault() != nil && time.Since(p.tied) >= retryInterval
}

// look returns what the path leads to. The sweep tells the owner when that changes.
func (p *place) look() (files.Stamp, error) {
	stamp, err := files.StampOf(p.path)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = sight{stamp, err}
	return stamp, err
}

// differs tells whether the path leads to something else than at the last look.
func (p *place) differs() bool {
	stamp, err := files.StampOf(p.path)
	p.mu.Lock()
	defer p.mu.Unlock()
	return err != p.seen.err || !stamp.SameFile(p.seen.stamp) || p.exact && stamp != p.seen.stamp
}

// spot is a directory that is about to be watched.
type spot struct {
	tie   step // without a name: everything in the directory
	stamp files.Stamp
	err   error
}

// tie watches what the place leads to, and all that it leads over. fresh says that the directory
// itself was not watched before: changes until now had no event. Only the owner's goroutine calls
// it. It does what may wait for a file system before it takes w.mu.
func (w *Watcher) tie(p *place) (fresh bool) {
	p.moved.Store(false)
	p.tied = time.Now()
	steps, real := way(p.path)
	for range 3 {
		other, again := w.bind(p, w.spotsOf(p, steps, real))
		fresh = fresh || other
		now, end := way(p.path)
		if !again && end == real && slices.Equal(now, steps) {
			break
		}
		steps, real = now, end // it has changed before there was a watch
	}
	return fresh
}

// spotsOf looks at the directories that a place leads over.
func (w *Watcher) spotsOf(p *place, steps []step, real string) []spot {
	var spots []spot
	add := func(s step) {
		stamp, err := files.StampOf(s.dir)
		if err == nil {
			err = w.unwatchable(s.dir)
		}
		spots = append(spots, spot{s, stamp, err})
	}
	if p.whole && real != "" {
		add(step{dir: real})
	}
	for _, s := range steps {
		add(s)
	}
	return spots
}

// bind watches the directories and gives up those that were watched for this place before. fresh
// says that the directory itself is another watch now, again that a directory has just been
// replaced.
func (w *Watcher) bind(p *place, spots []spot) (fresh, again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := p.content
	ties := make(map[tie]struct{}, len(spots))
	p.content, p.contentFault, p.wayFault = nil, nil, nil
	for _, s := range spots {
		x, err := (*watch)(nil), s.err
		if err == nil {
			x, err = w.watchOf(s.tie.dir, s.stamp, s.tie.name == "")
		}
		again = again || errors.Is(err, errReplaced)
		switch {
		case err != nil && s.tie.name == "":
			p.contentFault = err
			continue
		case err != nil:
			p.wayFault = err
			continue
		case s.tie.name == "":
			p.content = x
		}
		t := tie{x, s.tie.name}
		t.join(p)
		ties[t] = struct{}{}
	}
	for t := range p.ties {
		if _, kept := ties[t]; !kept {
			w.leave(t, p)
		}
	}
	p.ties = ties
	w.enlist(p, p.fault() == nil)
	return p.content != before, again
}

// untie gives up what the place watches. The caller holds w.mu.
func (w *Watcher) untie(p *place) {
	for t := range p.ties {
		w.leave(t, p)
	}
	p.ties, p.content = nil, nil
	w.strike(p)
}
