package libzmq

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/endpoint"
)

// RefusalError says that a server has not let a client in.
type RefusalError struct {
	Status int      // of the server's ZAP handler: 400 or 500; 0: handshakes are cut off
	Events []string // the last things that libzmq has reported, oldest first
}

// Error is the bare fact.
func (e *RefusalError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("refused with status %d", e.Status)
	}
	return "the handshake is cut off time after time (" + strings.Join(e.Events, ", ") + ")"
}

// ErrConnected says that there is nothing to connect.
var ErrConnected = errors.New(
	"the socket is connected to this endpoint already; that connection stays")

// Connect connects s to an endpoint, waits until the server has accepted it, and remembers the
// connection. It is for the goroutine that owns s, and sets the monitor of s. reached tells whether
// anybody has accepted a connection.
//
// The error is a *RefusalError as soon as the server has refused, or when handshakes have been cut
// off time after time. It is ErrConnected where s is connected already: that connection stays. When
// ctx ends it is ctx's error with the last thing seen. A connection that has failed is ended.
func (t *Connections) Connect(
	ctx context.Context, s *zmq4.Socket, address string,
) (reached bool, err error) {
	h := &handshake{socket: s, endpoint: address}
	if ctx.Err() != nil {
		return false, h.interrupted(ctx)
	}
	if h.target, err = parseTarget(address); err != nil {
		return false, err
	}
	if t.IsAlive(ctx, s, address) {
		if ctx.Err() != nil { // it may be about to end
			return false, h.interrupted(ctx)
		}
		return false, ErrConnected
	}
	if err := h.open(ctx); err != nil {
		return false, err
	}
	defer h.close()
	err = h.connect(ctx)
	if err == nil {
		err = h.wait(ctx)
	}
	if err != nil {
		h.disconnect()
		return h.reached, err
	}
	t.Add(s, address, h.descriptor)
	return true, nil
}

// Resolve is the endpoint with an address at which somebody listens in place of a host's name. See
// [endpoint.Endpoint.Resolve]. An endpoint of another transport than TCP is as it was.
func Resolve(ctx context.Context, address string) (string, error) {
	target, err := parseTarget(address)
	if err != nil || target == nil || strings.Contains(address, ";") {
		return address, err
	}
	return target.Resolve(ctx)
}

// parseTarget reads what libzmq would try to connect to for ever. Transports other than TCP are
// libzmq's to judge. nil: one of those.
func parseTarget(address string) (*endpoint.Endpoint, error) {
	if !strings.HasPrefix(address, "tcp://") {
		return nil, nil
	}
	if _, target, ok := strings.Cut(address, ";"); ok { // a source address before it (zmq_tcp(7))
		address = "tcp://" + target
	}
	e, err := endpoint.ParseConnect(address)
	if err != nil {
		return nil, err
	}
	return &e, nil
}
