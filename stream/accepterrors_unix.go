//go:build unix

package stream

import "syscall"

// isExhausted tells whether the process or the system has run out of something.
func isExhausted(errno syscall.Errno) bool {
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS:
		return true
	}
	return false
}

// isClients tells whether accept(2) has failed for a reason of one client's. Most of them come from
// the client's network, and on Linux alone ("Error handling").
func isClients(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECONNABORTED, syscall.EPROTO, syscall.EPERM, syscall.EINTR, syscall.EAGAIN,
		syscall.ETIMEDOUT, syscall.ENETDOWN, syscall.ENOPROTOOPT, syscall.EHOSTDOWN,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, errNotOnNetwork:
		return true
	}
	return false
}
