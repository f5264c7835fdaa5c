//go:build unix

package sshtunnel

import (
	"context"
	"net"
)

// dialAgent connects to an SSH agent's socket.
func dialAgent(ctx context.Context, socket string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}
