package proxy

import (
	"net"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The system gives out the lowest free descriptor. So a connection whose descriptor is near the
// limit says that few are left. Such connections are closed at once: what is left is for the files
// of the policy and for the connections to the services. Without any, libzmq would try to accept
// the next connection without end, which keeps a processor busy.
const (
	headroomShare = 16 // one of so many descriptors
	minHeadroom   = 8
	maxHeadroom   = 256
)

// isNearLimit tells whether a connection with that descriptor leaves too few.
func isNearLimit(fd int) bool {
	limit := descriptorLimit()
	headroom := min(max(limit/headroomShare, minHeadroom), maxHeadroom)
	return uint64(fd)+headroom >= limit
}

// descriptorLimit is how many descriptors the process may have.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 20
	}
	return limit.Cur
}

// turnAway ends a connection to a bound endpoint. By now the descriptor may be that of another
// file, which stays as it is.
func turnAway(fd int, bound string) {
	address, err := unix.Getsockname(fd)
	if err == nil && isAt(address, bound) {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
	}
}

// isAt tells whether the local address of a connection is that of an endpoint.
func isAt(address unix.Sockaddr, bound string) bool {
	var port int
	switch address := address.(type) {
	case *unix.SockaddrUnix:
		return "ipc://"+address.Name == bound
	case *unix.SockaddrInet4:
		port = address.Port
	case *unix.SockaddrInet6:
		port = address.Port
	}
	_, want, err := net.SplitHostPort(strings.TrimPrefix(bound, "tcp://"))
	return err == nil && strconv.Itoa(port) == want
}
