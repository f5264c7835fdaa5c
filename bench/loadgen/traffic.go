package loadgen

/*
#include "traffic.h"
#cgo noescape loadgen_traffic_run
#cgo nocallback loadgen_traffic_run
#cgo nocallback loadgen_traffic_connect
*/
import "C"

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/pebbe/zmq4"
)

// Pattern says which sockets the clients of Traffic and its service have.
type Pattern int

// The patterns.
const (
	Push      Pattern = C.TRAFFIC_PUSH      // PUSH clients of a PULL service
	Request   Pattern = C.TRAFFIC_REQUEST   // REQ clients of a ROUTER that echoes
	Subscribe Pattern = C.TRAFFIC_SUBSCRIBE // XSUB clients of a PUB service
)

// Traffic is a service and its clients, both in this process. One goroutine at a time may use it.
type Traffic struct {
	c   *C.loadgen_traffic
	ctx *zmq4.Context // lives as long as c
}

// trafficTimeout is how long one message may take.
const trafficTimeout = time.Minute

// OpenTraffic binds the service to a port of 127.0.0.1 that the kernel chooses. With a secret key,
// in Z85, it is a CURVE server that lets in everybody; ctx has no ZAP handler then. The caller has
// to close the Traffic before ctx ends. The error is libzmq's.
func OpenTraffic(ctx *zmq4.Context, pattern Pattern, secretKey string) (*Traffic, error) {
	pointer, err := contextPointer(ctx)
	if err != nil {
		return nil, err
	}
	if pattern < Push || pattern > Subscribe {
		return nil, fmt.Errorf("loadgen: pattern %d", pattern)
	}
	key, free := cStrings(secretKey)
	defer free()
	t := &Traffic{ctx: ctx}
	code := C.loadgen_traffic_open(pointer, C.int(pattern), key[0],
		C.int(trafficTimeout.Milliseconds()), &t.c)
	return t, errno(int(code))
}

// Endpoint returns the endpoint of the service.
func (t *Traffic) Endpoint() string { return C.GoString(C.loadgen_traffic_endpoint(t.c)) }

// Connect makes that many clients with a connection each, to the service itself or to a proxy
// before it. It waits until all subscriptions are in force; other connections may need more time.
// It may be called once. A client has no user name. The error is ErrNoReply if a subscriber gets
// nothing within a minute, or libzmq's.
func (t *Traffic) Connect(client Client, clients int) error {
	if clients < 1 || clients > math.MaxInt32 {
		return fmt.Errorf("loadgen: %d clients", clients)
	}
	c, free := client.c()
	defer free()
	return errno(int(C.loadgen_traffic_connect(t.c, &c, C.int(clients))))
}

// Run sends messages of size bytes, and returns the time until the last has arrived. Push: the
// clients send that many messages together. Request: the clients have one request each under way,
// and send that many together. Subscribe: each client gets that many messages. Run keeps two system
// threads busy. The error is ErrNoReply if nothing arrives for a minute, ErrBadReply if something
// else does, or libzmq's. After an error the Traffic can only be closed.
func (t *Traffic) Run(messages, size int) (time.Duration, error) {
	if messages < 1 || messages > math.MaxInt32 || size < 0 {
		return 0, fmt.Errorf("loadgen: %d messages of %d bytes", messages, size)
	}
	var nanoseconds C.uint64_t
	code := C.loadgen_traffic_run(t.c, C.uint32_t(messages), C.size_t(size), &nanoseconds)
	return time.Duration(nanoseconds), errno(int(code))
}

// Close closes all sockets. A second call does nothing.
func (t *Traffic) Close() {
	C.loadgen_traffic_close(t.c)
	t.c = nil
	runtime.KeepAlive(t.ctx)
}
