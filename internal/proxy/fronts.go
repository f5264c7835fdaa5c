package proxy

import (
	"maps"
	"sync"

	"github.com/zmqauth/zmqauth/front"
)

// fronts is what the Fronts have counted, by the names of their frontends: those that listen, and
// those that a reload has replaced. The zero value has none. Any goroutine may use it.
type fronts struct {
	mu    sync.Mutex
	open  map[string]map[*front.Front]struct{}
	ended map[string]front.Stats // of those that are closed
}

// add adds a Front that has begun.
func (s *fronts) add(name string, f *front.Front) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open, s.ended = make(map[string]map[*front.Front]struct{}), make(map[string]front.Stats)
	}
	if s.open[name] == nil {
		s.open[name] = make(map[*front.Front]struct{})
	}
	s.open[name][f] = struct{}{}
}

// end keeps the counts of a Front that is closed.
func (s *fronts) end(name string, f *front.Front) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open[name], f)
	s.ended[name] = sum(s.ended[name], f.Stats())
}

// stats returns the counts of each frontend that has, or had, a Front.
func (s *fronts) stats() map[string]front.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.ended)
	for name, some := range s.open {
		for f := range some {
			all[name] = sum(all[name], f.Stats())
		}
	}
	return all
}

func sum(a, b front.Stats) front.Stats {
	a.Open += b.Open
	a.Accepted += b.Accepted
	a.Relayed += b.Relayed
	a.Refused += b.Refused
	a.Dropped += b.Dropped
	a.Received += b.Received
	a.Sent += b.Sent
	reasons := make(map[string]uint64)
	for _, counts := range []map[string]uint64{a.Reasons, b.Reasons} {
		for reason, count := range counts {
			reasons[reason] += count
		}
	}
	a.Reasons = reasons
	return a
}
