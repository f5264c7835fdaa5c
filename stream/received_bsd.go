//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package stream

import "golang.org/x/sys/unix"

// fionread is FIONREAD, which x/sys lacks: _IOR('f', 127, int) in <sys/filio.h>.
const fionread = 0x4004667f

// receivedBy is received for a socket's descriptor. These systems do not count the bytes that were
// already read.
func receivedBy(fd int, waits bool) bool {
	if !waits {
		return true
	}
	unread, err := unix.IoctlGetInt(fd, fionread)
	return err != nil || unread > 0
}
