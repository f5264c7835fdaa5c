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
	whole bool   // the path is that of a directory, and the owner hears of everything in it
	exact bool   // the sweep compares times and sizes too
	link  string // the name of a symbolic link in a Directory; "": it is none
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
	fresh        bool // the last tie has begun to watch the directory itself

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
	// wake tells that the path may lead elsewhere, or to something that has changed. swept says that
	// there was no event of it.
	wake(p *place, swept bool)
}

// mayHaveMoved has the owner find out where the path leads. swept says that there was no event.
func (p *place) mayHaveMoved(swept bool) {
	p.moved.Store(true)
	p.owner.wake(p, swept)
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

// took notes what the owner has read. It may be something else than the last look has found: the
// path may have led elsewhere for a moment, without an event. The zero stamp says nothing.
func (p *place) took(stamp files.Stamp) {
	if stamp == (files.Stamp{}) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = sight{stamp: stamp}
}

// changed is look. It tells whether the path leads to something else than at the last one.
func (p *place) changed() bool {
	stamp, err := files.StampOf(p.path)
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.seen
	p.seen = sight{stamp, err}
	return p.distinguishes(before, p.seen)
}

// differs tells whether the path leads to something else than at the last look.
func (p *place) differs() bool {
	stamp, err := files.StampOf(p.path)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.distinguishes(p.seen, sight{stamp, err})
}

// distinguishes tells whether the owner has to know of a difference.
func (p *place) distinguishes(a, b sight) bool {
	return a.err != b.err || !a.stamp.SameFile(b.stamp) || p.exact && a.stamp != b.stamp
}

// spot is a directory that is about to be watched.
type spot struct {
	tie   step // without a name: everything in the directory
	stamp files.Stamp
	err   error
}

// course is what a place leads over.
type course struct {
	place *place
	steps []step
	real  string
}

// tie watches what the place leads to, and all that it leads over. fresh says that the directory
// itself was not watched before: changes until now had no event. Only the owner's goroutine calls
// it.
func (w *Watcher) tie(p *place) (fresh bool) {
	w.tieAll([]*place{p})
	return p.fresh
}

// tieAll is tie for many places of one owner. It does what may wait for a file system before it
// takes w.mu.
func (w *Watcher) tieAll(places []*place) {
	survey := w.newSurvey()
	courses := make([]course, 0, len(places))
	for _, p := range places {
		p.moved.Store(false)
		p.tied, p.fresh = time.Now(), false
		courses = append(courses, survey.course(p))
	}
	for range 3 {
		replaced := make([]bool, len(courses))
		for i, c := range courses {
			replaced[i] = w.bind(c.place, survey.spotsOf(c))
		}
		survey = w.newSurvey()
		changed := courses[:0]
		for i, c := range courses {
			now := survey.course(c.place)
			if replaced[i] || now.real != c.real || !slices.Equal(now.steps, c.steps) {
				changed = append(changed, now) // before there was a watch
			}
		}
		if courses = changed; len(courses) == 0 {
			return
		}
	}
}

// course returns what a place leads over.
func (s *survey) course(p *place) course {
	steps, real := s.way(p.path)
	return course{p, steps, real}
}

// spotsOf looks at the directories that a place leads over.
func (s *survey) spotsOf(c course) []spot {
	spots := make([]spot, 0, len(c.steps)+1)
	if c.place.whole && c.real != "" {
		spots = append(spots, s.spot(step{dir: c.real}))
	}
	for _, name := range c.steps {
		spots = append(spots, s.spot(name))
	}
	return spots
}

// bind watches the directories and gives up those that were watched for this place before. again
// says that a directory has just been replaced.
func (w *Watcher) bind(p *place, spots []spot) (again bool) {
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
	p.fresh = p.fresh || p.content != before
	return again
}

// untie gives up what the place watches. The caller holds w.mu.
func (w *Watcher) untie(p *place) {
	for t := range p.ties {
		w.leave(t, p)
	}
	p.ties, p.content = nil, nil
	w.strike(p)
}
