package proxy

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/pebbe/zmq4"
)

// frontendSet are the frontends that run, and those that end. One goroutine uses it.
type frontendSet struct {
	zctx    *zmq4.Context
	log     *slog.Logger
	linger  time.Duration
	running map[string]*frontend // by name
	ending  []*frontend          // that drain
	failed  chan error           // a frontend has ended that should not have
	abort   <-chan struct{}      // closed: nothing but stop waits for a frontend any more
}

// errAborted is why an update has been given up.
var errAborted = errors.New("the proxy ends")

func newFrontendSet(zctx *zmq4.Context, log *slog.Logger, linger time.Duration, abort <-chan struct{}) *frontendSet {
	return &frontendSet{zctx: zctx, log: log, linger: linger, abort: abort, running: make(map[string]*frontend), failed: make(chan error, 1)}
}

// update makes the set what specs says. Frontends that are what they shall be go on. Others end,
// and in their place or beside them new ones begin; where one cannot, the one before it goes on,
// and all the others are as they shall be. The error joins what has failed.
func (s *frontendSet) update(specs []frontendSpec) error {
	begin, errs := s.prepare(specs)
	var leaving []*frontend // those that are to end, unless their successors cannot begin
	for name, f := range s.running {
		isName := func(spec frontendSpec) bool { return spec.Name == name }
		if !slices.ContainsFunc(specs, isName) || slices.ContainsFunc(begin, func(b *frontend) bool { return isName(b.spec) }) {
			leaving = append(leaving, f)
		}
	}
	var waiting []*frontend // for an endpoint that one of those has
	for _, f := range begin {
		if slices.ContainsFunc(slices.Concat(leaving, s.ending), f.clashes) {
			waiting = append(waiting, f)
			continue
		}
		if err := s.start(f); err != nil {
			errs = append(errs, err)
			leaving = without(leaving, f.spec.Name)
		}
	}
	err := s.makeRoom(waiting, leaving)
	if errors.Is(err, errAborted) {
		for _, f := range waiting {
			f.discard()
		}
		waiting = nil
	}
	errs = append(errs, err)
	for _, f := range waiting {
		if err := s.start(f); err != nil {
			errs = append(errs, err)
			if err := s.restore(f.spec.Name); err != nil { // another has taken its endpoint: it ends
				errs = append(errs, err)
				continue
			}
			leaving = without(leaving, f.spec.Name)
		}
	}
	for _, f := range leaving {
		s.end(f)
	}
	return errors.Join(errs...)
}

// hasLeaving tells whether frontends of a kind end, or are to end where the set is to be what specs
// says.
func (s *frontendSet) hasLeaving(specs []frontendSpec, kind func(*frontend) bool) bool {
	s.ending = slices.DeleteFunc(s.ending, (*frontend).hasEnded)
	return slices.ContainsFunc(s.ending, kind) || len(s.leaving(specs, kind)) > 0
}

// retire ends those frontends, and waits for them.
func (s *frontendSet) retire(specs []frontendSpec, kind func(*frontend) bool) error {
	for _, f := range s.leaving(specs, kind) {
		s.end(f)
	}
	return s.waitFor(kind)
}

// waitFor waits for those that end and are of a kind.
func (s *frontendSet) waitFor(kind func(*frontend) bool) error {
	for _, f := range s.ending {
		if !kind(f) {
			continue
		}
		select {
		case <-f.done:
		case <-s.abort:
			return errAborted
		}
	}
	return nil
}

func (s *frontendSet) leaving(specs []frontendSpec, kind func(*frontend) bool) (leaving []*frontend) {
	for _, f := range s.running {
		goesOn := func(spec frontendSpec) bool { return spec.Name == f.spec.Name && spec.same(f.spec) }
		if kind(f) && !slices.ContainsFunc(specs, goesOn) {
			leaving = append(leaving, f)
		}
	}
	return leaving
}

func without(frontends []*frontend, name string) []*frontend {
	return slices.DeleteFunc(frontends, func(f *frontend) bool { return f.spec.Name == name })
}

// prepare makes the frontends of specs that do not run as they shall be.
func (s *frontendSet) prepare(specs []frontendSpec) (begin []*frontend, errs []error) {
	for _, spec := range specs {
		if old := s.running[spec.Name]; old != nil && old.spec.same(spec) {
			continue
		}
		f, err := newFrontend(s.zctx, s.log, spec)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		begin = append(begin, f)
	}
	return begin, errs
}

// start binds and runs a frontend. One of the same name is not the set's any more, but still to be
// ended.
func (s *frontendSet) start(f *frontend) error {
	if err := f.bind(); err != nil {
		f.discard()
		return err
	}
	s.running[f.spec.Name] = f
	f.run(s.ended)
	return nil
}

// makeRoom frees the endpoints that waiting frontends want: those who have them finish what is
// under way first.
func (s *frontendSet) makeRoom(waiting, leaving []*frontend) error {
	blocks := func(f *frontend) bool { return slices.ContainsFunc(waiting, f.clashes) }
	if err := s.waitFor(blocks); err != nil {
		return err
	}
	blockers := slices.DeleteFunc(slices.Clone(leaving), func(f *frontend) bool { return !blocks(f) })
	drained := make([]<-chan struct{}, len(blockers))
	for i, f := range blockers { // all of them at once
		_ = f.do(func() error { drained[i] = f.forwarder.drain(s.linger); return nil })
	}
	var errs []error
	for i, f := range blockers {
		select {
		case <-drained[i]:
			errs = append(errs, f.do(f.unbind))
		case <-f.done: // it has failed
		case <-s.abort:
			return errAborted
		}
	}
	return errors.Join(errs...)
}

// restore has a frontend go on whose successor has failed. There need not be one.
func (s *frontendSet) restore(name string) error {
	f := s.running[name]
	if f == nil {
		return nil
	}
	return f.do(func() error {
		f.forwarder.resume()
		if f.bound != "" {
			return nil
		}
		return f.bind()
	})
}

// end has a frontend drain and end.
func (s *frontendSet) end(f *frontend) {
	if s.running[f.spec.Name] == f {
		delete(s.running, f.spec.Name)
	}
	_ = f.do(func() error { // an error: it has ended
		f.forwarder.drain(s.linger)
		f.forwarder.closing = true
		return nil
	})
	_ = f.waker.Close()
	s.ending = slices.DeleteFunc(s.ending, (*frontend).hasEnded)
	s.ending = append(s.ending, f)
}

// ended is called by a frontend's goroutine.
func (s *frontendSet) ended(f *frontend) {
	if f.err != nil {
		select {
		case s.failed <- f.err:
		default: // one is enough
		}
	}
}

// stop ends all frontends, and waits for them.
func (s *frontendSet) stop() {
	for _, f := range s.running {
		s.end(f)
	}
	for _, f := range s.ending {
		<-f.done
	}
}
