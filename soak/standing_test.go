package soak

import "sync"

// standing is whether somebody is to be let in, or something serves. The zero value is out.
type standing struct {
	good bool // in, for good

	mu       sync.Mutex
	in       bool
	changing bool   // nobody can tell, until the change has been made
	version  uint64 // counts the changes, when they begin and when they are made
}

func always() *standing { return &standing{good: true, in: true} }

// change makes a change by a call that holds once it has returned.
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

// look is what holds now.
func (s *standing) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view{s, s.version, s.in && !s.changing, !s.in && !s.changing}
}

// view is a standing at one moment. Neither in nor out: it is changing.
type view struct {
	of      *standing
	version uint64
	in, out bool
}

// stillIn tells whether it has been in ever since.
func (v view) stillIn() bool { return v.in && v.of.look().version == v.version }

// stillOut tells whether it has been out ever since.
func (v view) stillOut() bool { return v.out && v.of.look().version == v.version }
