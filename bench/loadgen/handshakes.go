package loadgen

/*
#include "zap.h"
#cgo noescape loadgen_handshakes
#cgo nocallback loadgen_handshakes
*/
import "C"

import (
	"fmt"
	"runtime"
	"time"

	"github.com/pebbe/zmq4"
)

const handshakeTimeout = 2 * time.Minute

// Handshakes connects that many clients to an endpoint, inFlight at once, and returns the time from
// the first socket to the last. Each client has a socket of its own, which sends one byte, waits
// until it comes back, and is closed. Handshakes keeps one system thread busy. The error is
// ErrNoReply if a client does not get in within two minutes, or an error of libzmq.
func Handshakes(ctx *zmq4.Context, client Client, inFlight, handshakes int) (time.Duration, error) {
	if inFlight < 1 || handshakes < 1 || client.Endpoint == "" {
		return 0, fmt.Errorf("loadgen: %d handshakes with %q, %d in flight",
			handshakes, client.Endpoint, inFlight)
	}
	pointer, err := contextPointer(ctx)
	if err != nil {
		return 0, err
	}
	c, free := client.c()
	defer free()
	var nanoseconds C.uint64_t
	code := C.loadgen_handshakes(pointer, &c, C.int(inFlight), C.int(handshakes),
		C.int(handshakeTimeout.Milliseconds()), &nanoseconds)
	runtime.KeepAlive(ctx)
	return time.Duration(nanoseconds), errno(int(code))
}
