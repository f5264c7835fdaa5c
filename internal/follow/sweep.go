package follow

import (
	"slices"
	"time"
)

// sweepBatch is how many paths the sweep looks at in every checkInterval, and how many links in
// Directories. So it looks at 1,000 of each in a second, which takes some tenths of a percent of a
// processor. With more than 250 it looks at each less often.
const sweepBatch = 250

// round is a list of places that the sweep looks at in turn.
type round struct {
	places []*place
	next   int
}

// add adds a place that is in no round.
func (r *round) add(p *place) {
	r.places = append(r.places, p)
	p.index = len(r.places)
}

// remove removes a place of this round.
func (r *round) remove(p *place) {
	last := len(r.places) - 1
	moved := r.places[last]
	r.places[p.index-1], moved.index = moved, p.index
	r.places[last] = nil
	r.places, p.index = r.places[:last], 0
}

// batch returns the places to look at next. last says that they end a round.
func (r *round) batch() (batch []*place, last bool) {
	if r.next >= len(r.places) {
		r.next = 0
	}
	end := min(r.next+sweepBatch, len(r.places))
	batch = r.places[r.next:end]
	r.next = end
	return batch, end == len(r.places)
}

// roundOf returns the round that a place belongs to. The many links that a Directory may have do
// not take their turns from what is configured.
func (w *Watcher) roundOf(p *place) *round {
	if p.link != "" {
		return &w.links
	}
	return &w.paths
}

// enlist adds a place to the sweep's list, or takes note that its owner polls it. A place that
// cannot be watched may be on a server that does not answer: the sweep must not wait for that. The
// caller holds w.mu.
func (w *Watcher) enlist(p *place, watched bool) {
	w.strike(p)
	if w.closed {
		return
	}
	if !watched {
		p.polled = true
		w.polled++
		return
	}
	w.roundOf(p).add(p)
	if !w.sweeping {
		w.sweeping = true
		go w.sweep()
	}
}

// strike undoes enlist. The caller holds w.mu.
func (w *Watcher) strike(p *place) {
	if p.polled {
		p.polled = false
		w.polled--
	}
	if p.index > 0 {
		w.roundOf(p).remove(p)
	}
}

// sweep looks at all places, some at a time, until the watcher is closed. It only compares. Where
// something differs, it wakes the owner, so that a slow target holds up nobody else.
func (w *Watcher) sweep() {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	var overflows uint64
	for {
		select {
		case <-w.done:
			return
		case <-tick.C:
		}
		if seen := w.overflows.Load(); seen != overflows {
			overflows = seen
			w.endAll()
		}
		batch, last := w.nextBatch()
		for _, p := range batch {
			if p.differs() {
				p.mayHaveMoved(true)
			}
		}
		if last {
			w.findEnded()
		}
	}
}

// nextBatch returns the places to look at next. last says that they end a round of the paths.
func (w *Watcher) nextBatch() (batch []*place, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	paths, last := w.paths.batch()
	links, _ := w.links.batch()
	return slices.Concat(paths, links), last
}

// findEnded finds watches that have ended without an event, as they do when a file system is
// unmounted.
func (w *Watcher) findEnded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify == nil {
		return
	}
	list := w.notify.WatchList()
	if len(list) == len(w.byPath) {
		return // fsnotify has no watch that w.byPath lacks
	}
	watched := make(map[string]struct{}, len(list))
	for _, path := range list {
		watched[path] = struct{}{}
	}
	for path, x := range w.byPath {
		if _, live := watched[path]; !live {
			w.end(x)
		}
	}
}

// endAll ends all watches after events were lost, among them perhaps those that say that a watch
// has ended. All owners watch again, and scan.
func (w *Watcher) endAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.byPath {
		w.end(x)
	}
}
