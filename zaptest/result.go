package zaptest

import (
	"errors"
	"fmt"
)

// Requirement is what a check holds the handler to.
type Requirement struct {
	Name    string // stable: lower case, hyphens
	Section string // "RFC 27, " and the section, or Beyond
	Text    string // one sentence
}

// Beyond is the Section of what RFC 27 does not ask for, and what a handler that guards a door
// needs nevertheless.
const Beyond = "beyond RFC 27"

// The sections that ask something of a handler.
const (
	architecture   = "RFC 27, Architecture"
	messageFormat  = "RFC 27, Message Format"
	socketTypes    = "RFC 27, Socket Types"
	proxyHandlers  = "RFC 27, Proxy Handlers"
	nullMechanism  = "RFC 27, The NULL Mechanism"
	plainMechanism = "RFC 27, The PLAIN Mechanism"
	curveMechanism = "RFC 27, The CURVE Mechanism"
)

// Result is the outcome of one check.
type Result struct {
	Requirement
	Err error // nil: the handler does what is required; for ErrNotApplicable nobody knows
}

// Errors of a Result, to be tested with errors.Is.
var (
	// ErrNotApplicable says that the check needs something that the Handler does not have: its text
	// says what.
	ErrNotApplicable = errors.New("not applicable")
	// ErrNoAnswer says that the handler answers nobody any more.
	ErrNoAnswer = errors.New("the handler no longer answers")
)

// Passed tells whether the check was made and the handler did what is required.
func (r Result) Passed() bool { return r.Err == nil }

// Failed tells whether the handler did not do what is required, or could not be asked.
func (r Result) Failed() bool { return r.Err != nil && !errors.Is(r.Err, ErrNotApplicable) }

// String is a line for a report: the outcome, the name, and why.
func (r Result) String() string {
	switch {
	case r.Passed():
		return "pass  " + r.Name
	case r.Failed():
		return fmt.Sprintf("FAIL  %s: %v", r.Name, r.Err)
	default:
		return fmt.Sprintf("-     %s: %v", r.Name, r.Err)
	}
}

func notApplicable(why string) error { return fmt.Errorf("%w: %s", ErrNotApplicable, why) }
