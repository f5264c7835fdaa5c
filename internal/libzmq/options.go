package libzmq

/*
#include "handler.h"
*/
import "C"

import "github.com/pebbe/zmq4"

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
