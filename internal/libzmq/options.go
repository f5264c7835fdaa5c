package libzmq

/*
#include "handler.h"
*/
import "C"

import "github.com/pebbe/zmq4"

// zapEnforceDomain is ZMQ_ZAP_ENFORCE_DOMAIN. zmq.h hides it among the drafts, the stock library
// honours it.
const zapEnforceDomain = 93

// EnforceDomain makes a server socket with a ZAP domain refuse everyone where no handler is bound.
// Without a domain a PLAIN socket would abort the process at its first client.
func EnforceDomain(s *zmq4.Socket) error {
	pointer, err := socketPointer(s)
	if err != nil {
		return err
	}
	return errno(C.zap_set_int(pointer, zapEnforceDomain, 1))
}
