package zmtp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Unread tells whether something has come that Receive has not taken yet.
func (c *Conn) Unread() bool {
	conn, ok := c.nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	unread := 0
	_ = raw.Control(func(fd uintptr) { unread, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return unread > 0
}
