package stream

import "golang.org/x/sys/unix"

// receivedBy is received for a socket's descriptor.
func receivedBy(fd int, waits bool) bool {
	if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		return info.Bytes_received > 0
	}
	if unread, err := unix.IoctlGetInt(fd, unix.SIOCINQ); waits && err == nil {
		return unread > 0
	}
	return true
}
