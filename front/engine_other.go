//go:build !linux

package front

import (
	"errors"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

// engine is what a Front runs. There is none on this system.
type engine struct{ drained chan struct{} }

func newEngine(*zmqauth.Authenticator, *zmq4.Socket, string, Config) (*engine, error) {
	return nil, errors.New("this system cannot keep other processes from the socket's private " +
		"endpoint: only Linux can")
}

func (e *engine) endpoint() string     { return "" }
func (e *engine) stats() Stats         { return Stats{} }
func (e *engine) close() error         { return nil }
func (e *engine) stopAccepting() error { return nil }
func (e *engine) reconfigure(*Config)  {}
