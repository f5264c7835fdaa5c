// Package memstore is a fleet's store in memory, for tests. It can fail as a real one can: its
// connections break, its quorum is lost, its log is replaced or set back.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/fleet"
)

// Store is a fleet.Store. Use New.
type Store struct {
	mu       sync.Mutex
	epoch    int
	log      []item
	revision uint64
	proof    proof
	changed  chan struct{} // closed at each change
	broken   chan struct{} // closed when connections break
	down     bool
	follows  []fleet.Position // from where Follow was asked to begin
	reports  map[string]fleet.Status
	notices  []fleet.Entry
}

type item struct {
	key      string
	value    []byte
	revision uint64
}

type proof struct {
	revision uint64
	at       time.Time
}

// ErrDown is what the store answers while it has no quorum, or when a connection breaks.
var ErrDown = errors.New("memstore: the store is away")

// New is an empty store.
func New() *Store {
	return &Store{changed: make(chan struct{}), broken: make(chan struct{}),
		reports: make(map[string]fleet.Status)}
}

// Put is that of fleet.Store. It does not try again.
func (s *Store) Put(_ context.Context, e fleet.Entry, ifRevision *uint64) (fleet.Position, error) {
	text, err := fleet.CheckPut(e, ifRevision)
	if err != nil {
		return fleet.Position{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.State == fleet.Revoked {
		s.notices = append(s.notices, e) // reaches everyone without a quorum
		s.wake()
	}
	switch last := s.lastOf(e.Key()); {
	case s.down:
		return fleet.Position{}, ErrDown
	case ifRevision != nil && *ifRevision != last:
		return fleet.Position{}, fleet.ErrConflict
	}
	return s.add(e.Key(), text), nil
}

// PutRaw puts anything, as somebody can who has taken the store.
func (s *Store) PutRaw(key string, value []byte) fleet.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(key, value)
}

// Report is that of fleet.Store.
func (s *Store) Report(_ context.Context, server string, status fleet.Status) error {
	at := time.Now()
	text, err := fleet.Entry{Kind: fleet.KindServer, Name: server, Report: &status}.Encode()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return ErrDown
	}
	s.reports[server] = status
	s.proof = proof{s.add("server."+server, text).Revision, at}
	return nil
}

// Reported is what a server has reported last.
func (s *Store) Reported(server string) fleet.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports[server]
}

// LastOf is the revision of the last change of a key, for Put; 0: there is none.
func (s *Store) LastOf(key string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastOf(key)
}

// Break breaks all connections.
func (s *Store) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.broken)
	s.broken = make(chan struct{})
}

// SetDown takes the quorum away, and what it has proved, or gives it back. Connections stay.
func (s *Store) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.proof = down, proof{}
}

// Replace begins an empty log with another epoch.
func (s *Store) Replace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.log, s.revision, s.proof = nil, 0, proof{}
	s.wake()
}

// SetBack takes the log back to a revision, as a restored backup does.
func (s *Store) SetBack(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.log) > 0 && s.log[len(s.log)-1].revision > revision {
		s.log = s.log[:len(s.log)-1]
	}
	s.revision, s.proof = revision, proof{}
	s.wake()
}

// Follows are the positions that Follow was given.
func (s *Store) Follows() []fleet.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]fleet.Position(nil), s.follows...)
}

// Follow is that of fleet.Store.
func (s *Store) Follow(ctx context.Context, from fleet.Position, sink fleet.Sink) error {
	s.mu.Lock()
	s.follows = append(s.follows, from)
	heard, broken := len(s.notices), s.broken
	s.mu.Unlock()
	var proved proof
	for {
		s.mu.Lock()
		changed, down := s.changed, false
		epoch := s.position(0).Epoch
		reset := from.Epoch != epoch || from.Revision > s.revision
		if reset {
			from = fleet.Position{Epoch: epoch}
		}
		items := s.after(from.Revision)
		end, latest, notices := s.position(s.revision), s.proof, s.notices[heard:]
		heard = len(s.notices)
		s.mu.Unlock()
		for _, n := range notices {
			sink.Notice(n)
		}
		deliver(sink, items, end, reset)
		from = end
		if latest != proved && latest.revision > 0 {
			proved = latest
			sink.Fresh(latest.at)
		}
		select {
		case <-changed:
		case <-broken:
			down = true
		case <-ctx.Done():
			return ctx.Err()
		}
		if down {
			return ErrDown
		}
	}
}

func deliver(sink fleet.Sink, items []item, end fleet.Position, reset bool) {
	var all []fleet.Value
	for _, i := range items {
		all = append(all, fleet.Value{Key: i.key, Text: i.value})
		if !reset {
			e, _ := fleet.ParseEntry(i.key, i.value) // the sink refuses what cannot be read
			sink.Apply(e, fleet.Position{Epoch: end.Epoch, Revision: i.revision})
		}
	}
	if reset {
		var log fleet.Log
		log.Read(all)
		log.Reset(sink, end)
	}
}

func (s *Store) after(revision uint64) (items []item) {
	for _, i := range s.log {
		if i.revision > revision {
			items = append(items, i)
		}
	}
	return items
}

func (s *Store) lastOf(key string) uint64 {
	for i := len(s.log) - 1; i >= 0; i-- {
		if s.log[i].key == key {
			return s.log[i].revision
		}
	}
	return 0
}

func (s *Store) add(key string, value []byte) fleet.Position {
	s.revision++
	s.log = append(s.log, item{key, value, s.revision})
	s.wake()
	return s.position(s.revision)
}

func (s *Store) position(revision uint64) fleet.Position {
	return fleet.Position{Epoch: fmt.Sprint("epoch-", s.epoch), Revision: revision}
}

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Last is the revision of the last change.
func (s *Store) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}
