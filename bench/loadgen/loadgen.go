// Package loadgen measures ZAP handlers. Run sends requests from a loop in C, as libzmq does but as
// fast as the replies come. Reference is a handler in C that accepts everybody, the fastest that a
// handler can be. Because both are C, a comparison shows the cost of the handler and not that of
// the tool.
package loadgen

/*
#cgo pkg-config: libzmq
#cgo CFLAGS: -O2
#cgo LDFLAGS: -pthread
#include "zap.h"
#cgo noescape loadgen_run
#cgo nocallback loadgen_run
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// Errors of Run, to be tested with errors.Is.
var (
	// ErrNoReply means that a reply did not come within the time-out, or that no handler is bound to
	// the ZAP endpoint.
	ErrNoReply = errors.New("loadgen: no reply")
	// ErrBadReply means that a reply violates RFC 27.
	ErrBadReply = errors.New("loadgen: not a ZAP reply")
)

// Load is what Run sends: the same request many times.
type Load struct {
	Mechanism string // NULL, PLAIN, CURVE, GSSAPI
	Domain    string // "": the empty domain
	Address   string // of the client, as libzmq reports it: 192.0.2.1
	// Credentials are none for NULL, user name and password for PLAIN, 32 raw bytes for CURVE, and the
	// principal for GSSAPI.
	Credentials [][]byte
	// Vary makes the requests different: the first 4 bytes of the last credential are different in
	// each.
	Vary     bool
	InFlight int // requests under way at once, at least 1
	// Apart gives each request in flight a connection of its own, as libzmq does for each client.
	// Otherwise all requests use one connection.
	Apart    bool
	Requests int           // in all, at least 1
	Timeout  time.Duration // for one reply; 0: 10 s
	// Beside has the request of another client, which is sent one at a time meanwhile. Its fields for
	// numbers and times do not count. nil: there is no other client.
	Beside *Load
}

const defaultTimeout = 10 * time.Second

func (l *Load) check() error {
	if l.InFlight < 1 || l.Requests < 1 || l.Timeout < 0 {
		return fmt.Errorf("loadgen: %d requests, %d in flight, time-out %v: too few",
			l.Requests, l.InFlight, l.Timeout)
	}
	return nil
}

func (l *Load) timeout() time.Duration {
	if l.Timeout == 0 {
		return defaultTimeout
	}
	return l.Timeout
}

// request returns the frames of the request as libzmq sends them (RFC 27), with the empty delimiter
// first. The bytes of all frames are one after the other.
func (l *Load) request() (bytes []byte, sizes []uint32) {
	frames := [][]byte{
		nil,
		[]byte("1.0"),
		[]byte("1"),
		[]byte(l.Domain),
		[]byte(l.Address),
		nil,
		[]byte(l.Mechanism),
	}
	for _, frame := range append(frames, l.Credentials...) {
		bytes = append(bytes, frame...)
		sizes = append(sizes, uint32(len(frame)))
	}
	return bytes, sizes
}

// order is loadgen_order of zap.h, the input of the C code.
type order struct {
	InFlight, Requests, TimeoutMS, Frames, Vary, Beside, Apart uint32
}

// order returns the input for the C code: the order, and the frames of the request and of Beside's.
func (l *Load) order() (o order, sizes []uint32, bytes []byte) {
	bytes, sizes = l.request()
	o = order{
		InFlight:  uint32(l.InFlight),
		Requests:  uint32(l.Requests),
		TimeoutMS: uint32(l.timeout().Milliseconds()),
		Frames:    uint32(len(sizes)),
	}
	if l.Vary {
		o.Vary = 1
	}
	if l.Apart {
		o.Apart = 1
	}
	if l.Beside != nil {
		moreBytes, moreSizes := l.Beside.request()
		bytes, sizes = append(bytes, moreBytes...), append(sizes, moreSizes...)
		o.Beside = uint32(len(moreSizes))
	}
	return o, sizes, bytes
}

// Result is what Run measured.
type Result struct {
	Elapsed  time.Duration // from the first request to the last reply
	ByStatus map[int]int   // replies of each status code
	Beside   Beside
}

// Beside has the results of the other client, which sends one request at a time.
type Beside struct {
	Requests, Accepted int
	Worst              time.Duration // the longest time from a request to its reply
}

// Run sends a load to the ZAP endpoint of ctx and waits for the replies. It keeps one system thread
// busy and does not block goroutines of the handler. The error is ErrNoReply, ErrBadReply,
// zmq4.ETERM if the context is terminated, or another error of libzmq. After an error, requests may
// still be in flight.
func Run(ctx *zmq4.Context, load Load) (Result, error) {
	if err := load.check(); err != nil {
		return Result{}, err
	}
	pointer, err := contextPointer(ctx)
	if err != nil {
		return Result{}, err
	}
	o, sizes, bytes := load.order()
	var r result
	code := C.loadgen_run(pointer,
		(*C.loadgen_order)(unsafe.Pointer(&o)),
		(*C.uint32_t)(unsafe.SliceData(sizes)),
		(*C.uint8_t)(unsafe.SliceData(bytes)),
		(*C.loadgen_result)(unsafe.Pointer(&r)))
	runtime.KeepAlive(ctx)
	return r.public(), errno(int(code))
}

// result is loadgen_result of zap.h.
type result struct {
	Nanoseconds, BesideWorst       uint64
	BesideRequests, BesideAccepted uint32
	ByStatus                       [C.LOADGEN_STATUSES]uint32
}

// The sizes must be the same in Go and C, or this does not compile. The tests check the fields.
var (
	_ [unsafe.Sizeof(order{}) - C.sizeof_loadgen_order]struct{}
	_ [C.sizeof_loadgen_order - unsafe.Sizeof(order{})]struct{}
	_ [unsafe.Sizeof(result{}) - C.sizeof_loadgen_result]struct{}
	_ [C.sizeof_loadgen_result - unsafe.Sizeof(result{})]struct{}
)

func (r *result) public() Result {
	p := Result{
		Elapsed:  time.Duration(r.Nanoseconds),
		ByStatus: make(map[int]int),
		Beside: Beside{
			Requests: int(r.BesideRequests),
			Accepted: int(r.BesideAccepted),
			Worst:    time.Duration(r.BesideWorst),
		},
	}
	for status, count := range r.ByStatus {
		if count > 0 {
			p.ByStatus[status] = int(count)
		}
	}
	return p
}

func errno(code int) error {
	switch syscall.Errno(code) {
	case 0:
		return nil
	case syscall.EAGAIN:
		return ErrNoReply
	case syscall.EPROTO:
		return ErrBadReply
	default:
		return zmq4.Errno(code)
	}
}
