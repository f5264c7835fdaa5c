package stream

import (
	"errors"
	"os"
	"syscall"
)

// isExhaustion reports whether an error of Accept means that the process or the system has run out
// of a resource.
func isExhaustion(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && isExhausted(errno)
}

// isTemporary reports whether Accept may succeed again after err: the error is about one client or
// about the state of the system, not about the listener. An expired deadline is not temporary,
// because whoever set it on the listener wants Serve to end.
func isTemporary(err error) bool {
	if isExhaustion(err) {
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return isClientError(errno)
	}
	temporary, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && temporary.Temporary()
}
