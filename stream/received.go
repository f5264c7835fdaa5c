package stream

import (
	"net"
	"syscall"
)

// received reports whether the peer of a connection has sent anything. For TCP on Linux that
// includes data that was read already. Elsewhere only unread data counts, which is all of it while
// the connection waits in the backlog. If the system cannot tell, received returns true.
func received(conn net.Conn, waits bool) bool {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // the listener has wrapped it
		conn = wrapped.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	spoken := true
	// An error means that the connection is closed, which its next use will show.
	_ = raw.Control(func(fd uintptr) { spoken = receivedBy(int(fd), waits) })
	return spoken
}
