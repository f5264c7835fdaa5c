package links

import "golang.org/x/sys/unix"

// Ports without a limit of their own share half of the descriptors that the process may have. The
// other half is for the links with a limit, for frontends, files and logins. Without that one user
// of this host could use up all descriptors at one port.
const (
	shareDivisor = 2
	// descriptorsPerConn is what a connection takes: one for each side, and one in the frontend of
	// the same process that it may lead to.
	descriptorsPerConn = 3
	minShare           = 4 // connections, however few descriptors there are
	// maxShare bounds the memory where descriptors have no limit.
	maxShare = 1 << 17
)

// share returns how many connections each port of specs has that has no limit of its own.
func share(specs []Spec, descriptors uint64) int {
	ports := uint64(0)
	for _, spec := range specs {
		if spec.maxConns() == 0 {
			ports += uint64(len(spec.ports()))
		}
	}
	each := descriptors / shareDivisor / descriptorsPerConn / max(ports, 1)
	return int(min(max(each, minShare), maxShare))
}

// descriptorLimit is how many descriptors the process may have.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 20
	}
	return uint64(limit.Cur) // which is signed on some systems
}

// limit returns how many connections a port has at once: n, or the share if n is 0.
func (o Options) limit(n int) int {
	if n == 0 {
		return o.share
	}
	return n
}
