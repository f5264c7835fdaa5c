//go:build unix

package session

import "golang.org/x/sys/unix"

// The system gives out the lowest free descriptor. So a connection whose descriptor is near the
// limit says that few are left. Such connections are closed at once: what is left is for the files
// of the policy and for the connections to the services. Without any, libzmq would try to accept
// the next connection without end, which keeps a processor busy.
const (
	headroomShare = 16 // one of so many descriptors
	minHeadroom   = 16
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
