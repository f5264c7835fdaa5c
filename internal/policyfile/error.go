package policyfile

import "fmt"

// Error is a fault in one line of a policy, or in the whole file.
type Error struct {
	File string // the path, as the caller gave it
	Line int    // from 1; 0: the file as a whole
	Err  error  // the bare fact
}

// Error returns "FILE:LINE: FACT", or "FILE: FACT" for a fault of the whole file.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
