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

// Client is a client that connects to an endpoint of Serve. Without a user name and keys it uses
// the NULL mechanism.
type Client struct {
	Endpoint                        string
	Username, Password              string
	ServerKey, PublicKey, SecretKey string // Z85
}

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
		endpoint:   cString(client.Endpoint),
		username:   cString(client.Username),
		password:   cString(client.Password),
		server_key: cString(client.ServerKey),
		public_key: cString(client.PublicKey),
		secret_key: cString(client.SecretKey),
	}
	var nanoseconds C.uint64_t
	code := C.loadgen_handshakes(pointer, &c, C.int(inFlight), C.int(handshakes),
		C.int(handshakeTimeout.Milliseconds()), &nanoseconds)
	runtime.KeepAlive(ctx)
	return time.Duration(nanoseconds), errno(int(code))
}
