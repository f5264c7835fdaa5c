package proxy

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth"
)

// frontendSet is all frontends of the process: those that run and those that drain. One goroutine
// uses it.
type frontendSet struct {
	auth    *zmqauth.Authenticator
	log     *slog.Logger
	linger  time.Duration        // how long a frontend may drain
	running map[string]*frontend // by name
	ending  []*frontend          // those that drain
	failed  chan error           // the error of a frontend that ended by itself
	left    leftovers            // of the frontends that have ended
	fronts  fronts               // of the frontends
	abort   <-chan struct{}      // once it is closed, only stop waits for frontends
}

// errAborted is the error of an update that was given up because the process ends.
var errAborted = errors.New("the proxy ends")

func newFrontendSet(auth *zmqauth.Authenticator, log *slog.Logger, linger time.Duration,
	abort <-chan struct{}) *frontendSet {
	return &frontendSet{
		auth:    auth,
		log:     log,
		linger:  linger,
		abort:   abort,
		running: make(map[string]*frontend),
		failed:  make(chan error, 1),
	}
}

// update makes the set equal to specs. Frontends that have not changed go on. The others end, and
// new ones start. If a new frontend cannot start, its predecessor goes on; all other frontends are
// updated nevertheless. The error joins what has failed.
func (s *frontendSet) update(specs []frontendSpec) error {
	starting, errs := s.prepare(specs)
	leaving := s.replaced(specs, starting)
	var waiting []*frontend // for an endpoint that a leaving or ending frontend has
	for _, f := range starting {
		if slices.ContainsFunc(slices.Concat(leaving, s.ending), f.clashes) {
			waiting = append(waiting, f)
			continue
		}
		if err := s.start(f); err != nil {
			errs = append(errs, err)
			leaving = without(leaving, f.spec.Name)
		}
	}
	err := s.freeEndpoints(waiting, leaving)
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
			if err := s.restore(f.spec.Name); err != nil {
				// Another frontend has taken the predecessor's endpoint: it ends after all.
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

// prepare makes the frontends of specs that do not run yet or have changed. Those whose limits
// alone have changed, or the settings of their fronts, get the new ones.
func (s *frontendSet) prepare(specs []frontendSpec) (starting []*frontend, errs []error) {
	for _, spec := range specs {
		if old := s.running[spec.Name]; old != nil && old.spec.same(spec) {
			errs = append(errs, old.adopt(spec))
			continue
		}
		f, err := newFrontend(s.auth, s.log, &s.fronts, spec)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		starting = append(starting, f)
	}
	return starting, errs
}

// replaced returns the running frontends that specs no longer has, and those with a successor among
// starting. They end, unless their successors cannot start.
func (s *frontendSet) replaced(specs []frontendSpec, starting []*frontend) (leaving []*frontend) {
	for name, f := range s.running {
		wanted := func(spec frontendSpec) bool { return spec.Name == name }
		succeeds := func(other *frontend) bool { return other.spec.Name == name }
		if !slices.ContainsFunc(specs, wanted) || slices.ContainsFunc(starting, succeeds) {
			leaving = append(leaving, f)
		}
	}
	return leaving
}

// hasLeaving tells whether a frontend that match accepts is ending, or would end if the set were
// updated to specs.
func (s *frontendSet) hasLeaving(specs []frontendSpec, match func(*frontend) bool) bool {
	s.ending = slices.DeleteFunc(s.ending, (*frontend).hasEnded)
	return slices.ContainsFunc(s.ending, match) || len(s.leaving(specs, match)) > 0
}

// retire ends the frontends for which hasLeaving is true, and waits for them.
func (s *frontendSet) retire(specs []frontendSpec, match func(*frontend) bool) error {
	for _, f := range s.leaving(specs, match) {
		s.end(f)
	}
	return s.waitFor(match)
}

// waitFor waits for the ending frontends that match accepts.
func (s *frontendSet) waitFor(match func(*frontend) bool) error {
	for _, f := range s.ending {
		if !match(f) {
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

// leaving returns the running frontends that match accepts and that specs changes or no longer has.
func (s *frontendSet) leaving(specs []frontendSpec, match func(*frontend) bool) []*frontend {
	var leaving []*frontend
	for _, f := range s.running {
		unchanged := func(spec frontendSpec) bool {
			return spec.Name == f.spec.Name && spec.same(f.spec)
		}
		if match(f) && !slices.ContainsFunc(specs, unchanged) {
			leaving = append(leaving, f)
		}
	}
	return leaving
}

func without(frontends []*frontend, name string) []*frontend {
	return slices.DeleteFunc(frontends, func(f *frontend) bool { return f.spec.Name == name })
}

// start binds and runs a frontend. A predecessor of the same name leaves the set, but goes on
// running until end is called for it.
func (s *frontendSet) start(f *frontend) error {
	if err := f.bind(); err != nil {
		f.discard()
		return err
	}
	s.running[f.spec.Name] = f
	f.run(s.ended)
	return nil
}

// freeEndpoints frees the endpoints that the waiting frontends need. The frontends that have those
// endpoints drain first.
func (s *frontendSet) freeEndpoints(waiting, leaving []*frontend) error {
	blocks := func(f *frontend) bool { return slices.ContainsFunc(waiting, f.clashes) }
	if err := s.waitFor(blocks); err != nil {
		return err
	}
	blocksNot := func(f *frontend) bool { return !blocks(f) }
	blockers := slices.DeleteFunc(slices.Clone(leaving), blocksNot)
	drained := make([]<-chan struct{}, len(blockers))
	for i, f := range blockers { // they drain at the same time
		_ = f.do(func() error {
			drained[i] = f.forwarder.startDrain(s.linger)
			return nil
		})
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

// restore lets a frontend go on after its successor has failed to start. It does nothing if there
// is no frontend of that name.
func (s *frontendSet) restore(name string) error {
	f := s.running[name]
	if f == nil {
		return nil
	}
	return f.do(func() error {
		f.forwarder.stopDrain()
		if f.listener.bound != "" {
			return nil
		}
		return f.bind()
	})
}

// end makes a frontend drain and end. It does not wait for that.
func (s *frontendSet) end(f *frontend) {
	if s.running[f.spec.Name] == f {
		delete(s.running, f.spec.Name)
	}
	_ = f.do(func() error { // an error means that the frontend has ended
		f.forwarder.startDrain(s.linger)
		f.forwarder.closing = true
		return nil
	})
	_ = f.waker.Close()
	s.ending = slices.DeleteFunc(s.ending, (*frontend).hasEnded)
	s.ending = append(s.ending, f)
}

// ended reports the error of a frontend that has ended, and what is left. The frontend's goroutine
// calls it.
func (s *frontendSet) ended(f *frontend) {
	s.left.add(f.spec.Name, f.left)
	if f.err != nil {
		select {
		case s.failed <- f.err:
		default: // one error is enough to end the process
		}
	}
}

// stop ends all frontends and waits for them. The error names those that had messages left, now or
// when they ended before.
func (s *frontendSet) stop() error {
	for _, f := range s.running {
		s.end(f)
	}
	for _, f := range s.ending {
		<-f.done
	}
	return s.left.err()
}
