package zaptest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
)

// check is a requirement, what a handler must have for it, and how to find out.
type check struct {
	Requirement
	needs []need
	run   func(*trial) error
}

// timeout is four times the handler's for a check with a load.
func (c check) timeout(h *Handler) time.Duration {
	if strings.HasPrefix(c.Name, "load-") {
		return 4 * h.Timeout
	}
	return h.Timeout
}

// suite is all checks, those that a handler is likely to survive first.
func suite() []check {
	return slices.Concat(replyChecks(), envelopeChecks(), mechanismChecks(), plainChecks(), curveChecks(), gssapiChecks(),
		domainChecks(), addressChecks(), malformedChecks(), hostileChecks(), loadChecks())
}

// Requirements are those of all checks, in the order in which they are made.
func Requirements() []Requirement {
	var all []Requirement
	for _, c := range suite() {
		all = append(all, c.Requirement)
	}
	return all
}

// Run makes each check a subtest of t. What does not apply to the handler is skipped, with the
// reason. The context is the one in which the handler is bound, nil for zmq4's default context.
func Run(t *testing.T, ctx *zmq4.Context, h Handler) {
	t.Helper()
	s := newSession(ctx, h)
	for _, c := range suite() {
		t.Run(c.Name, func(t *testing.T) {
			switch err := s.make(c); {
			case errors.Is(err, ErrNotApplicable):
				t.Skip(err)
			case err != nil:
				t.Errorf("%v\n%s (%s)", err, c.Text, c.Section)
			}
		})
	}
}

// Check makes all checks and returns what they met, in the order of [Requirements]. The context is
// the one in which the handler is bound, nil for zmq4's default context. Where the Handler
// contradicts itself every result has that as its error. It ends even where the handler answers
// nobody.
func Check(ctx *zmq4.Context, h Handler) []Result {
	s := newSession(ctx, h)
	var results []Result
	for _, c := range suite() {
		results = append(results, Result{c.Requirement, s.make(c)})
	}
	return results
}

// session is a handler under test.
type session struct {
	ctx  *zmq4.Context
	h    Handler
	dead error // why no check can be made
	lost error // why the handler must be restarted first
}

func newSession(ctx *zmq4.Context, h Handler) *session {
	s := &session{ctx: ctx}
	s.h, s.dead = h.withDefaults()
	return s
}

// make makes one check, and looks whether the handler is still there afterwards.
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
		err = nil // this is worse
	}
	return errors.Join(err, fmt.Errorf("%w after this: %w", ErrNoAnswer, alive))
}

// revive brings a handler back that was lost.
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

// probe looks whether the handler answers, with less patience where it has just had the chance.
func (s *session) probe(outcome error) error {
	timeout := s.h.Timeout
	if errors.Is(outcome, errSilence) {
		timeout /= 2
	}
	return s.try(timeout, answers)
}

// try runs a check with a time limit, and with sockets that end with it.
func (s *session) try(timeout time.Duration, run func(*trial) error) (err error) {
	t := &trial{Handler: &s.h, ctx: s.ctx, deadline: time.Now().Add(timeout)}
	defer func() { err = errors.Join(err, t.close()) }()
	return run(t)
}

// answers is a good request that must get some reply.
func answers(t *trial) error {
	_, err := t.ask(t.null())
	return err
}
