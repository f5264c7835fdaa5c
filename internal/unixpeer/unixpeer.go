// Package unixpeer asks the kernel who is at the other end of a Unix socket.
package unixpeer

// Process is who has connected, or who listens, as of the time of the connection.
type Process struct {
	UID, GID, PID int
	Groups        []int // the supplementary ones
}
