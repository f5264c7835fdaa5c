package stream

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// isExhausted reports whether the process or the system has run out of a resource.
func isExhausted(errno syscall.Errno) bool {
	return errno == windows.WSAEMFILE || errno == windows.WSAENOBUFS
}

// isClientError reports whether accepting failed because of a single client.
func isClientError(errno syscall.Errno) bool {
	switch errno {
	case windows.WSAECONNABORTED, windows.WSAECONNRESET, windows.WSAEINTR, windows.WSAEWOULDBLOCK,
		windows.WSAENETDOWN:
		return true
	}
	return false
}
