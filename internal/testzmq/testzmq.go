// Package testzmq makes libzmq's contexts and sockets for tests.
package testzmq

import (
	"errors"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
)

// NewContext is a context that ends with the test, and not before its sockets.
func NewContext(t testing.TB) *zmq4.Context {
	t.Helper()
	ctx, err := zmq4.NewContext()
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, ctx.Term()) })
	return ctx
}

// patience is how long a socket waits for what must come: long enough that only a fault exceeds it.
const patience = 30 * time.Second

// NewSocket is a socket that ends with the test. It does not wait for what it could not send, nor
// for ever for what never comes.
func NewSocket(t testing.TB, ctx *zmq4.Context, kind zmq4.Type) *zmq4.Socket {
	t.Helper()
	socket, err := ctx.NewSocket(kind)
	must.OK(t, err)
	must.OK(t, errors.Join(socket.SetLinger(0), socket.SetRcvtimeo(patience),
		socket.SetSndtimeo(patience)))
	t.Cleanup(func() { must.OK(t, socket.Close()) })
	return socket
}
