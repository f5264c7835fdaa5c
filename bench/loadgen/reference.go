package loadgen

/*
#include "zap.h"
*/
import "C"

import "github.com/pebbe/zmq4"

// Reference is a ZAP handler in a C thread of its own, the fastest that libzmq allows. It accepts
// every request, with the user id that zmqauth gives such a client: the user name or the principal,
// or the key in Z85, and none for NULL. It looks at nothing else.
type Reference struct {
	c *C.loadgen_reference
}

// StartReference binds the ZAP endpoint of ctx and serves it. The error is libzmq's, such as
// zmq4.Errno(zmq4.EADDRINUSE) if the context has a handler.
func StartReference(ctx *zmq4.Context) (*Reference, error) {
	pointer, err := contextPointer(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reference{}
	if err := errno(int(C.loadgen_reference_start(pointer, &r.c))); err != nil {
		return nil, err
	}
	return r, nil
}

// Stop frees the endpoint and the thread within some 20 ms. It must be called even if the context
// has ended. A second call does nothing. The error is the one that ended the thread earlier, unless
// that was the end of the context.
func (r *Reference) Stop() error {
	if r.c == nil {
		return nil
	}
	c := r.c
	r.c = nil
	return errno(int(C.loadgen_reference_stop(c)))
}
