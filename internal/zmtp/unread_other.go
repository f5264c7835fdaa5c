//go:build !linux

package zmtp

// Unread tells whether something has come that Receive has not taken yet; not on this system.
func (c *Conn) Unread() bool { return false }
