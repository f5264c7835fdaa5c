package stream

import (
	"net"
	"syscall"
)

// received tells whether the peer of a connection has sent anything: with TCP on Linux ever,
// whoever has read it since; else what was not read yet, which is all as long as the connection
// waits. Where it cannot be known it is true.
func received(conn net.Conn, waits bool) bool {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // by the listener
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
	// An error means that it is closed, and will be found to be.
	_ = raw.Control(func(fd uintptr) { spoken = receivedBy(int(fd), waits) })
	return spoken
}
