package stream

import (
	"context"
	"fmt"
	"net"
	"time"
)

// backendTimeout is how long a backend may take to accept a connection.
const backendTimeout = 10 * time.Second

// Forward is the body of a Handler: it connects to a backend, pipes everything in both directions,
// and returns when both have ended. The backend is a libzmq endpoint, network "" and
// "tcp://host:port" or "ipc://path", or what package net calls it, "tcp" with host:port or "unix"
// with a path.
//
// When one side closes its half of the connection, that half of the other's is closed, and what
// comes the other way goes on. When one side's connection breaks, the other's is reset, so that
// nobody takes a part for the whole; a Unix socket knows no reset, and is closed. (As many clients
// close a TLS connection without TLS's notice of it, package crypto/tls takes the connection's end
// for the stream's if it comes between two records. A protocol whose messages say how long they
// are, as ZeroMQ's do, is misled by neither.) Memory does not depend on how much is piped.
//
// Forward closes conn. The error is nil when both sides have ended as they should; else it says
// which side failed, or is that of ctx, whose end breaks both connections.
func Forward(ctx context.Context, conn net.Conn, network, address string) error {
	client := end{"the client", conn}
	network, address, err := endpoint(network, address)
	if err != nil {
		client.reset()
		return err
	}
	dialer := net.Dialer{Timeout: backendTimeout}
	backend, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		client.reset()
		return fmt.Errorf("stream: the backend: %w", err)
	}
	return pipe(ctx, client, end{"the backend", backend})
}
