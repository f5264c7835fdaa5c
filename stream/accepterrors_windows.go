package stream

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// isExhausted tells whether the process or the system has run out of something.
func isExhausted(errno syscall.Errno) bool {
	return errno == windows.WSAEMFILE || errno == windows.WSAENOBUFS
}

// isClients tells whether accepting has failed for a reason of one client's.
func isClients(errno syscall.Errno) bool {
	switch errno {
	case windows.WSAECONNABORTED, windows.WSAECONNRESET, windows.WSAEINTR, windows.WSAEWOULDBLOCK,
		windows.WSAENETDOWN:
		return true
	}
	return false
}
