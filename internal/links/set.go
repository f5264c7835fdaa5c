package links

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// Options are the settings of a Set.
type Options struct {
	Log *slog.Logger // never nil
	// Linger is how long the connections of a link that ends may go on. 0 means not at all.
	Linger time.Duration
	// Login answers what SSH servers ask; nil: nobody does.
	Login *Login
	// Strict makes a gateway that cannot be logged in to an error of Update. Without it a tunnel
	// tries again, and logs that.
	Strict bool

	share int // connections of a port without a limit; Set sets it
}

// A Set is the links of a process: those that run and those that end. One goroutine uses it.
type Set struct {
	options Options
	running map[key]*link
	ending  []*link
	failed  chan error
	// descriptors returns how many the process may have.
	descriptors func() uint64
}

// NewSet returns a set without links.
func NewSet(o Options) *Set {
	return &Set{options: o, running: make(map[key]*link), failed: make(chan error, 1),
		descriptors: descriptorLimit}
}

// Failed receives the error of a link that has ended by itself.
func (s *Set) Failed() <-chan error { return s.failed }

// Update makes the set equal to specs. Links that have not changed go on. The others end, and new
// ones start. A link takes over the ports of one that ends: no connection is refused meanwhile. If
// a new link cannot start, its predecessor goes on; all other links are updated nevertheless. The
// error joins what has failed. ctx limits the logins of Options.Strict.
func (s *Set) Update(ctx context.Context, specs []Spec) error {
	starting, errs := s.build(specs)
	leaving := s.replaced(specs, starting)
	for _, l := range starting {
		err := s.start(ctx, l, leaving)
		if err == nil {
			continue
		}
		l.discard()
		errs = append(errs, err)
		leaving = slices.DeleteFunc(leaving, func(old *link) bool {
			return old.spec.key() == l.spec.key() && old.listens()
		})
	}
	for _, l := range leaving {
		l.admission.replaceBy(nobody) // unless it has a successor
		s.end(l)
	}
	return errors.Join(errs...)
}

// Release ends the links that specs has no more, so that others can listen at their ports.
func (s *Set) Release(specs []Spec) {
	for key, l := range s.running {
		if !slices.ContainsFunc(specs, func(spec Spec) bool { return spec.key() == key }) {
			l.admission.replaceBy(nobody)
			s.end(l)
		}
	}
}

// Stop ends all links, and waits for them.
func (s *Set) Stop() {
	for _, l := range s.running {
		s.end(l)
	}
	for _, l := range s.ending {
		<-l.done
	}
	s.ending = nil
}

// build makes the links of specs that do not run yet or have changed. Those that have not changed
// are told that they were looked at.
func (s *Set) build(specs []Spec) (starting []*link, errs []error) {
	options := s.options
	options.share = share(specs, s.descriptors())
	for _, spec := range specs {
		if old := s.running[spec.key()]; old != nil && old.spec.same(spec) {
			old.spec = spec // another line
			if old.session != nil {
				old.session.retry()
			}
			continue
		}
		log := s.options.Log
		if section := spec.section(); section.Name != "" {
			log = log.With(section.Kind, section.Name)
		}
		l, err := spec.build(options, log)
		if err != nil {
			errs = append(errs, spec.locate(err))
			continue
		}
		l.spec, l.log, l.done = spec, log, make(chan struct{})
		starting = append(starting, l)
	}
	return starting, errs
}

// replaced returns the running links that specs no longer has, and those with a successor among
// starting. They end, unless their successors cannot start.
func (s *Set) replaced(specs []Spec, starting []*link) (leaving []*link) {
	for key, l := range s.running {
		wanted := slices.ContainsFunc(specs, func(spec Spec) bool { return spec.key() == key })
		succeeded := slices.ContainsFunc(starting, func(n *link) bool { return n.spec.key() == key })
		if !wanted || succeeded {
			leaving = append(leaving, l)
		}
	}
	return leaving
}

// start opens the ports of a link and runs it. The leaving links give it their ports. If it cannot
// start, they have them as before.
func (s *Set) start(ctx context.Context, l *link, leaving []*link) (err error) {
	t := taking{leaving: leaving}
	defer func() {
		if err != nil {
			l.closePorts()
			err = errors.Join(err, t.undo(s.fail))
		}
	}()
	for _, one := range l.services {
		if one.port, err = t.port(one.spec); err != nil {
			return l.listenError(one, err)
		}
	}
	if l.session != nil && s.options.Strict {
		if err := l.session.login(ctx); err != nil {
			return l.spec.locate(err)
		}
	}
	if old := s.running[l.spec.key()]; old != nil {
		old.admission.replaceBy(l.admission)
	}
	t.commit(l)
	s.running[l.spec.key()] = l
	l.run(s.fail)
	return nil
}

// end ends a link. It does not wait for that.
func (s *Set) end(l *link) {
	if s.running[l.spec.key()] == l {
		delete(s.running, l.spec.key())
	}
	s.ending = append(slices.DeleteFunc(s.ending, (*link).isDone), l)
	l.end(s.options.Linger)
}

// fail notes the error of a link that has ended by itself. Any goroutine may call it.
func (s *Set) fail(err error) {
	select {
	case s.failed <- err:
	default: // one error is enough to end the process
	}
}

// listens tells whether a link has all of its ports.
func (l *link) listens() bool {
	return !slices.ContainsFunc(l.services, func(s *service) bool { return s.port == nil })
}

// taking is how a new link gets the ports of links that leave.
type taking struct {
	leaving []*link
	shared  map[portSpec]*service // of leaving links; the new one has a duplicate
	paused  []pause
}

// pause is a service that does not listen, so that another can.
type pause struct {
	link    *link
	service *service
}

// port returns a listener: a duplicate of one that a leaving link has, or a new one.
func (t *taking) port(spec portSpec) (*port, error) {
	for _, l := range t.leaving {
		for _, s := range l.services {
			if s.port == nil || s.spec != spec || spec.at.IsChosen() {
				continue
			}
			if t.shared == nil {
				t.shared = make(map[portSpec]*service)
			}
			t.shared[spec] = s
			return s.port.duplicate()
		}
	}
	p, err := spec.open()
	if isInUse(err) && t.pause(spec) {
		p, err = spec.open()
	}
	return p, err
}

// pause stops the services that listen where spec wants to. It returns whether there are any.
func (t *taking) pause(spec portSpec) (any bool) {
	for _, l := range t.leaving {
		for _, s := range l.services {
			if s.port != nil && s.spec.at.Conflicts(spec.at) {
				_ = s.port.Close()
				s.port = nil
				t.paused = append(t.paused, pause{l, s})
				any = true
			}
		}
	}
	return any
}

// commit takes the ports away from the leaving links.
func (t *taking) commit(l *link) {
	for _, one := range l.services {
		if old := t.shared[one.spec]; old != nil {
			old.port.giveFile(one.port)
			_ = old.port.Close()
			old.port = nil
		}
	}
}

// undo lets the paused services listen again.
func (t *taking) undo(failed func(error)) (err error) {
	for _, p := range t.paused {
		again, openErr := p.service.spec.open()
		if openErr != nil {
			err = errors.Join(err, p.link.listenError(p.service, openErr))
			continue
		}
		p.service.port = again
		p.link.runService(p.service, failed)
	}
	return err
}
