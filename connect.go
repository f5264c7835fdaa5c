package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// HandshakeError says that a server has not let a client in.
type HandshakeError struct {
	Endpoint string
	Status   int      // of the server's ZAP handler: 400 or 500; 0: the handshakes were cut off
	Events   []string // the last things that libzmq has reported, oldest first
}

// Error says what has happened and what to do about it.
func (e *HandshakeError) Error() string {
	switch {
	case e.Status == zap.StatusDenied:
		return fmt.Sprintf("zmqauth: %s: access denied (status 400): the server does not accept this "+
			"client's address or credentials, or not any more; its log has the reason", e.Endpoint)
	case e.Status != 0:
		return fmt.Sprintf("zmqauth: %s: the server could not decide (status %d): a callback of its "+
			"authenticator has failed; its log has the reason", e.Endpoint, e.Status)
	default:
		return fmt.Sprintf("zmqauth: %s: the handshake is cut off time after time; likely causes: "+
			"the server's key is another, the server uses another mechanism, its socket is of a type "+
			"that does not go with this one's, it has no ZAP handler, it refuses this Kerberos "+
			"principal, or this client has no Kerberos ticket that it can read (%s)",
			e.Endpoint, strings.Join(e.Events, ", "))
	}
}

// Unwrap is ErrDenied for status 400, ErrTemporary for 300, else nil.
func (e *HandshakeError) Unwrap() error {
	switch e.Status {
	case zap.StatusDenied:
		return ErrDenied
	case zap.StatusTemporary:
		return ErrTemporary
	}
	return nil
}

// Connect connects s to endpoint and waits until the server has accepted it. It is to be called by
// the goroutine that owns s.
//
// It returns a *HandshakeError as soon as the server has refused (errors.Is(err, ErrDenied) for
// 400), or when handshakes have been cut off several times in a row or for one and a half seconds.
// When ctx ends it returns ctx's error with the last thing seen. A server that asks for another try
// (300) gets it, until ctx ends. After a failure the endpoint is disconnected, so that a later
// Connect of the same socket works. A GSSAPI client that has no ticket learns of it when the
// server's handshake interval ends, after 10 s.
//
// A text that is no endpoint is an error at once. So is an endpoint that s is connected to already:
// that connection stays. Sockets of all types but REQ, DEALER, SUB and PUB may have several
// connections to one endpoint. With those types Connect knows only the connections that it has made
// itself: its failure ends any other one to the same endpoint, too. To an inproc endpoint Connect
// just connects, because libzmq asks nobody about such clients.
//
// A host's name may have IPv4 addresses, IPv6 addresses or both. Where it has both, Connect uses
// those at which somebody listens. The socket's own option (zmq4.Socket.SetIpv6) does not matter.
//
// Connect sets the socket's monitor, and ends it before it returns. libzmq gives a socket one
// monitor only: end the program's own before. Two sockets of the context have to be free, besides
// s.
func Connect(ctx context.Context, s *zmq4.Socket, endpoint string) error {
	if strings.HasPrefix(endpoint, "inproc://") {
		return connectSocket(s, endpoint)
	}
	_, err := connections.Connect(ctx, s, endpoint)
	return handshakeError(endpoint, err)
}

// connections are those that Connect has made, for all sockets of the process. A socket has no
// place to keep its own.
var connections libzmq.Connections

// handshakeError is an error of package libzmq as callers get it. nil stays nil.
func handshakeError(endpoint string, err error) error {
	if refused, ok := errors.AsType[*libzmq.RefusalError](err); ok {
		return &HandshakeError{endpoint, refused.Status, refused.Events}
	}
	if err != nil {
		return fmt.Errorf("zmqauth: %s: %w", endpoint, err)
	}
	return nil
}

func connectSocket(s *zmq4.Socket, endpoint string) error {
	if err := s.Connect(endpoint); err != nil {
		return fmt.Errorf("zmqauth: %s: %w", endpoint, err)
	}
	return nil
}
