//go:build unix

package stream

import "syscall"

// isExhausted reports whether the process or the system has run out of a resource.
func isExhausted(errno syscall.Errno) bool {
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS:
		return true
	}
	return false
}

// isClientError reports whether accept(2) failed because of a single client. On Linux, accept(2)
// also returns the network errors that are already pending on the new connection (accept(2), "Error
// handling").
func isClientError(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECONNABORTED, syscall.EPROTO, syscall.EPERM, syscall.EINTR, syscall.EAGAIN,
		syscall.ETIMEDOUT, syscall.ENETDOWN, syscall.ENOPROTOOPT, syscall.EHOSTDOWN,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, errNotOnNetwork:
		return true
	}
	return false
}
