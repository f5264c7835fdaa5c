package soak

import "sync"

// standing says whether a client must get in, or whether the service runs. The zero value is out.
type standing struct {
	good bool // always in

	mu       sync.Mutex
	in       bool
	changing bool   // a change is under way: both answers are right
	version  uint64 // counts the beginnings and ends of changes
}

// always returns the standing of a client that is always in.
func always() *standing { return &standing{good: true, in: true} }

// change makes a change by a call. The change is in force when the call has returned.
func (s *standing) change(in bool, call func() error) error {
	s.begin()
	err := call()
	s.settle(in)
	return err
}

func (s *standing) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing = true
	s.version++
}

func (s *standing) settle(in bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in, s.changing = in, false
	s.version++
}

// look returns the current state of the standing.
func (s *standing) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view{s, s.version, s.in && !s.changing, !s.in && !s.changing}
}

// view is a standing at one moment. It is neither in nor out while a change is under way.
type view struct {
	of      *standing
	version uint64
	in, out bool
}

// stillIn reports whether the standing has been in since the view, without a change.
func (v view) stillIn() bool { return v.in && v.of.look().version == v.version }

// stillOut reports whether the standing has been out since the view, without a change.
func (v view) stillOut() bool { return v.out && v.of.look().version == v.version }
