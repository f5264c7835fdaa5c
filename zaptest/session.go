package zaptest

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"
)

// session runs checks on one handler and records whether the handler still answers.
type session struct {
	ctx  *zmq4.Context
	h    Handler
	dead error // why no more checks can be run; nil: they can
	lost error // why the handler must be restarted first; nil: it answers
}

func newSession(ctx *zmq4.Context, h Handler) *session {
	s := &session{ctx: ctx}
	s.h, s.dead = h.withDefaults()
	return s
}

// make runs a check and then makes sure that the handler still answers.
func (s *session) make(c check) error {
	if s.dead != nil {
		return s.dead
	}
	for _, need := range c.needs {
		if err := need(&s.h); err != nil {
			return err
		}
	}
	if err := s.revive(); err != nil {
		return err
	}
	err := s.try(c.timeout(&s.h), c.run)
	alive := s.probe(err)
	if alive == nil {
		return err
	}
	s.lost = fmt.Errorf("%w since %s", ErrNoAnswer, c.Name)
	if errors.Is(err, ErrNotApplicable) {
		err = nil // the loss of the handler makes the check a failure
	}
	return errors.Join(err, fmt.Errorf("%w after this: %w", ErrNoAnswer, alive))
}

// revive restarts the handler if it no longer answers.
func (s *session) revive() error {
	if s.lost == nil {
		return nil
	}
	if s.h.Restart == nil {
		return s.lost
	}
	if err := s.h.Restart(); err != nil {
		s.dead = fmt.Errorf("%w and cannot be restarted: %w", s.lost, err)
		return s.dead
	}
	if err := s.probe(nil); err != nil {
		s.dead = fmt.Errorf("%w, not even after a restart: %w", s.lost, err)
		return s.dead
	}
	s.lost = nil
	return nil
}

// probe tests whether the handler answers. The outcome is that of the check before: if it has
// already waited for a reply in vain, probe waits half as long.
func (s *session) probe(outcome error) error {
	timeout := s.h.Timeout
	if errors.Is(outcome, errSilence) {
		timeout /= 2
	}
	return s.try(timeout, answers)
}

// try runs a check with a time limit and closes its sockets afterwards.
func (s *session) try(timeout time.Duration, run func(*trial) error) (err error) {
	t := &trial{Handler: &s.h, ctx: s.ctx, deadline: time.Now().Add(timeout)}
	defer func() { err = errors.Join(err, t.close()) }()
	return run(t)
}
