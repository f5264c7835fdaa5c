package front

import (
	"context"
	"errors"
	"fmt"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

// ErrClosed is the error of replacing a Front that accepts nobody any more.
var ErrClosed = errors.New("front: closed")

// Front is a listener before a socket. Any goroutine may call its methods. It ends with its socket:
// what libzmq has written before reaches the clients, for which they have 5 s.
type Front struct{ engine *engine }

// Listen accepts the clients of a server socket at an endpoint, tcp://HOST:PORT or ipc://PATH, in
// place of s.Bind. Call it where s.Bind may be called: after the socket's role, by the goroutine
// that owns the socket. It guards the socket, unless that is done already (see
// [zmqauth.Authenticator.Guard]: then before any endpoint), and binds it to a private endpoint. The
// Config is copied; nil is the zero value. A socket may have several Fronts, and bind other
// endpoints besides.
//
// The errors are about cfg or the endpoint, the system's, or that a system cannot keep other
// processes from the private endpoint: only Linux (4.6 and later) can.
func Listen(a *zmqauth.Authenticator, s *zmq4.Socket, endpoint string, cfg *Config) (*Front,
	error) {
	if a == nil || s == nil {
		return nil, errors.New("front: the authenticator or the socket is nil")
	}
	c := Config{}
	if cfg != nil {
		c = *cfg
	}
	err := c.check()
	var e *engine
	if err == nil {
		e, err = newEngine(a, s, endpoint, c)
	}
	if err != nil {
		return nil, fmt.Errorf("front: %s: %w", endpoint, err)
	}
	return &Front{e}, nil
}

// Endpoint is where clients connect to, as libzmq would write it: with the port that was chosen.
func (f *Front) Endpoint() string { return f.engine.endpoint() }

// Stats returns the counters.
func (f *Front) Stats() Stats { return f.engine.stats() }

// Reconfigure puts the Limits, ProxyProtocol and GreetingTimeout of another Config in force, for
// new connections and for handshakes under way. Connections that are open stay, and count, also
// where there are more of them than the limits let in. The other fields mean nothing. nil is the
// zero value. The error is about cfg, and changes nothing.
func (f *Front) Reconfigure(cfg *Config) error {
	c := Config{}
	if cfg != nil {
		c = *cfg
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("front: %s: %w", f.Endpoint(), err)
	}
	f.engine.reconfigure(&c)
	return nil
}

// StopListening ends the listener, and returns when the endpoint is free. Connections go on: end
// them by Shutdown or Close. The error is that an ipc endpoint's file cannot be removed.
func (f *Front) StopListening() error { return f.engine.stopAccepting() }

// Close ends the listener and then all connections, and returns when they have ended. The socket
// keeps its private endpoint, which nobody reaches any more. The error is that an ipc endpoint's
// file cannot be removed.
func (f *Front) Close() error { return f.engine.close() }

// Shutdown ends the listener and waits until all connections have ended by themselves. Then it does
// what Close does. If ctx ends first, it returns ctx's error, and the connections go on.
func (f *Front) Shutdown(ctx context.Context) error {
	err := f.engine.stopAccepting()
	select {
	case <-f.engine.drained:
		return errors.Join(err, f.Close())
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}
