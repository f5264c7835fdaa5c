package follow

import (
	"sync/atomic"
	"time"
)

// failure says since when something cannot be read.
type failure struct {
	since time.Time
	err   error // the last one
}

// health is whether something that is followed can be read. The zero value says yes. Any goroutine
// may read it.
type health struct{ failure atomic.Pointer[failure] }

// set notes the result of an attempt. Only one goroutine may call it.
func (h *health) set(err error) {
	before := h.failure.Load()
	switch {
	case err == nil && before == nil:
	case err == nil:
		h.failure.Store(nil)
	case before == nil:
		h.failure.Store(&failure{time.Now(), err})
	case err != before.err:
		h.failure.Store(&failure{before.since, err})
	}
}

// failing returns the zero time and nil if the last attempt succeeded.
func (h *health) failing() (since time.Time, err error) {
	if f := h.failure.Load(); f != nil {
		return f.since, f.err
	}
	return time.Time{}, nil
}
