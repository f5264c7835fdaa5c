package loadgen

/*
#include <stdlib.h>
#include "zap.h"
#cgo noescape loadgen_handshakes
#cgo nocallback loadgen_handshakes
*/
import "C"

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// Client is who connects to an endpoint that echoes what comes. Without a user name and keys it is
// of the NULL mechanism.
type Client struct {
	Endpoint                        string
	Username, Password              string
	ServerKey, PublicKey, SecretKey string // Z85
}

const handshakeTimeout = 2 * time.Minute

// Handshakes connects that often to an endpoint, inFlight at once, and returns how long it took
// from the first socket to the last: each client has a socket of its own, which sends one byte,
// waits for its return and is closed. It keeps one system thread busy. The error is ErrNoReply
// where a client is not let in within two minutes, or libzmq's.
func Handshakes(ctx *zmq4.Context, client Client, inFlight, handshakes int) (time.Duration, error) {
	if inFlight < 1 || handshakes < 1 || client.Endpoint == "" {
		return 0, fmt.Errorf("loadgen: %d handshakes with %q, %d in flight", handshakes, client.Endpoint, inFlight)
	}
	pointer, err := contextPointer(ctx)
	if err != nil {
		return 0, err
	}
	var all []unsafe.Pointer
	defer func() {
		for _, p := range all {
			C.free(p)
		}
	}()
	cString := func(text string) *C.char {
		if text == "" {
			return nil
		}
		p := C.CString(text)
		all = append(all, unsafe.Pointer(p))
		return p
	}
	c := C.loadgen_client{
		endpoint: cString(client.Endpoint),
		username: cString(client.Username), password: cString(client.Password),
		server_key: cString(client.ServerKey), public_key: cString(client.PublicKey), secret_key: cString(client.SecretKey),
	}
	var nanoseconds C.uint64_t
	code := C.loadgen_handshakes(pointer, &c, C.int(inFlight), C.int(handshakes), C.int(handshakeTimeout.Milliseconds()), &nanoseconds)
	runtime.KeepAlive(ctx)
	return time.Duration(nanoseconds), errno(int(code))
}
