package zaptest

import (
	"errors"
	"testing"

	"github.com/pebbe/zmq4"
)

// Requirements returns the requirements of all checks, in the order in which the checks run.
func Requirements() []Requirement {
	var all []Requirement
	for _, c := range suite() {
		all = append(all, c.Requirement)
	}
	return all
}

// Run runs each check as a subtest of t. A check that does not apply to the handler is skipped with
// the reason. The handler is bound in the context ctx; nil means zmq4's default context.
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

// Check runs all checks and returns their outcomes in the order of [Requirements]. The handler is
// bound in the context ctx; nil means zmq4's default context. If the fields of h contradict each
// other, every result has that as its error. Check returns even if the handler never answers.
func Check(ctx *zmq4.Context, h Handler) []Result {
	s := newSession(ctx, h)
	var results []Result
	for _, c := range suite() {
		results = append(results, Result{c.Requirement, s.make(c)})
	}
	return results
}
