package zaptest

import (
	"errors"
	"fmt"
)

// Requirement is what a check requires of the handler.
type Requirement struct {
	Name    string // stable, in lower case with hyphens
	Section string // "RFC 27, " and the section, or Beyond
	Text    string // one sentence
}

// Beyond is the Section of requirements that are not in RFC 27 but that a secure handler must meet.
const Beyond = "beyond RFC 27"

// The sections of RFC 27 that require something of a handler.
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
	Err error // nil: the handler meets the requirement; ErrNotApplicable: the check did not run
}

// Errors of a Result, to be tested with errors.Is.
var (
	// ErrNotApplicable means that the check needs something that the Handler does not have. The text
	// of the error says what.
	ErrNotApplicable = errors.New("not applicable")
	// ErrNoAnswer means that the handler no longer answers any request.
	ErrNoAnswer = errors.New("the handler no longer answers")
)

// Passed reports whether the check ran and the handler met the requirement.
func (r Result) Passed() bool { return r.Err == nil }

// Failed reports whether the handler did not meet the requirement or could not be reached.
func (r Result) Failed() bool { return r.Err != nil && !errors.Is(r.Err, ErrNotApplicable) }

// String returns a line for a report: the outcome, the name and the error.
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
