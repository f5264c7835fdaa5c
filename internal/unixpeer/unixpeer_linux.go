package unixpeer

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of is who is at the other end of a connection.
func Of(conn *net.UnixConn) (p Process, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return p, err
	}
	failed := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		p = Process{int(cred.Uid), int(cred.Gid), int(cred.Pid), groupsOf(fd)}
	})
	if failed != nil {
		return p, failed
	}
	return p, err
}

// maxGroups is how many groups a process can have (NGROUPS_MAX of limits.h).
const maxGroups = 65536

// groupsOf returns the supplementary groups of the process at the other end (SO_PEERGROUPS). Linux
// before 4.13 does not tell them: then there are none.
func groupsOf(fd uintptr) []int {
	for room := 64; room <= maxGroups; room *= 32 {
		ids := make([]uint32, room)
		size := uint32(len(ids)) * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno == unix.ERANGE {
			continue
		}
		if errno != 0 {
			return nil
		}
		groups := make([]int, size/4)
		for i := range groups {
			groups[i] = int(ids[i])
		}
		return groups
	}
	return nil
}
