package stream

import (
	"context"
	"fmt"
	"net"
	"time"
)

// backendTimeout is how long a backend may take to accept a connection.
const backendTimeout = 10 * time.Second

// Forward is the body of a Handler. It connects to a backend, copies all data in both directions,
// and returns when both directions have ended. The backend is a libzmq endpoint with network ""
// ("tcp://host:port" or "ipc://path"), or a network and address of package net ("tcp" with
// host:port, or "unix" with a path).
//
// When one side closes its half of the connection, Forward closes the same half towards the other
// side. The other direction goes on. When the connection of one side breaks, Forward resets the
// other, so that nobody takes a part of the data for the whole. A Unix socket has no reset and is
// closed.
//
// Many clients close a TLS connection without a close_notify alert. Package crypto/tls reports that
// as an ordinary end if it comes between two records. It does not mislead a protocol whose messages
// carry their length, as ZeroMQ's do.
//
// The use of memory does not depend on the amount of data.
//
// Forward closes conn. It returns nil if both sides have ended in order. Otherwise the error says
// which side failed, or it is the cause of ctx: when ctx ends, both connections are reset.
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
