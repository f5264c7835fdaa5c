package libzmq

/*
#include "handler.h"
*/
import "C"

import (
	"errors"

	"github.com/pebbe/zmq4"
)

// zapEnforceDomain is ZMQ_ZAP_ENFORCE_DOMAIN. zmq.h declares it only for draft builds, but the
// stock library supports it.
const zapEnforceDomain = 93

// EnforceDomain makes a server socket refuse all clients while no ZAP handler is bound. The socket
// must have a ZAP domain: a PLAIN socket without one would abort the process at its first client.
func EnforceDomain(s *zmq4.Socket) error {
	pointer, err := socketPointer(s)
	if err != nil {
		return err
	}
	return errno(C.zap_set_int(pointer, zapEnforceDomain, 1))
}

// useFD is ZMQ_USE_FD, which zmq4 has no setter for.
const useFD = 89

// BindDescriptor binds a socket to an endpoint on which the descriptor listens already. libzmq
// closes the descriptor when it unbinds, and does not touch the file of a Unix socket. After an
// error the descriptor is the caller's.
func BindDescriptor(s *zmq4.Socket, endpoint string, fd int) error {
	pointer, err := socketPointer(s)
	if err != nil {
		return err
	}
	if err := errno(C.zap_set_int(pointer, useFD, C.int(fd))); err != nil {
		return err
	}
	err = s.Bind(endpoint)
	return errors.Join(err, errno(C.zap_set_int(pointer, useFD, -1)))
}
