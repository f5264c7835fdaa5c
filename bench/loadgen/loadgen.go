// Package loadgen measures ZAP handlers: Run asks one from a loop in C, as libzmq asks but as fast as it is answered, and
// Reference is a handler in C that accepts everybody, the limit of what a handler can reach. Since both are C, a
// comparison shows the handler's cost and not that of the tool.
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
	// ErrNoReply says that a reply did not come within the time-out, or that nobody is bound to the ZAP endpoint.
	ErrNoReply = errors.New("loadgen: no reply")
	// ErrBadReply says that a reply breaks RFC 27.
	ErrBadReply = errors.New("loadgen: not a ZAP reply")
)

// Load is what Run asks: the same request many times.
type Load struct {
	Mechanism   string        // NULL, PLAIN, CURVE, GSSAPI
	Domain      string        // "": the empty domain
	Address     string        // of the client, as libzmq reports it: 192.0.2.1
	Credentials [][]byte      // none for NULL, user name and password for PLAIN, 32 raw bytes for CURVE, the principal for GSSAPI
	InFlight    int           // requests under way at once, at least 1
	Requests    int           // in all, at least 1
	Timeout     time.Duration // for one reply; 0: 10 s
}

const defaultTimeout = 10 * time.Second

func (l *Load) check() error {
	if l.InFlight < 1 || l.Requests < 1 || l.Timeout < 0 {
		return fmt.Errorf("loadgen: %d requests, %d in flight, time-out %v: too few", l.Requests, l.InFlight, l.Timeout)
	}
	return nil
}

func (l *Load) timeout() time.Duration {
	if l.Timeout == 0 {
		return defaultTimeout
	}
	return l.Timeout
}

// request is the load's request as libzmq frames it (RFC 27), behind the empty delimiter: the frames one after the
// other, and their sizes.
func (l *Load) request() (bytes []byte, sizes []uint32) {
	frames := [][]byte{nil, []byte("1.0"), []byte("1"), []byte(l.Domain), []byte(l.Address), nil, []byte(l.Mechanism)}
	for _, frame := range append(frames, l.Credentials...) {
		bytes = append(bytes, frame...)
		sizes = append(sizes, uint32(len(frame)))
	}
	return bytes, sizes
}

// Result is what Run measured.
type Result struct {
	Elapsed  time.Duration // from the first request to the last reply
	ByStatus map[int]int   // replies of each status code
}

// Run sends a load to the ZAP endpoint of ctx and waits for the replies. It keeps one system thread busy, and no
// goroutine of the handler's waits for it. Requests may be in flight still when it returns an error: ErrNoReply,
// ErrBadReply, zmq4.ETERM once the context is terminated, or another of libzmq's.
func Run(ctx *zmq4.Context, load Load) (Result, error) {
	if err := load.check(); err != nil {
		return Result{}, err
	}
	pointer, err := contextPointer(ctx)
	if err != nil {
		return Result{}, err
	}
	bytes, sizes := load.request()
	var result C.loadgen_result
	code := C.loadgen_run(pointer, (*C.uint8_t)(unsafe.SliceData(bytes)), (*C.uint32_t)(unsafe.SliceData(sizes)),
		C.int(len(sizes)), C.int(load.InFlight), C.int(load.Requests), C.int(load.timeout().Milliseconds()), &result)
	runtime.KeepAlive(ctx)
	return newResult(uint64(result.nanoseconds), result.by_status[:]), errno(int(code))
}

func newResult[Count ~uint32](nanoseconds uint64, byStatus []Count) Result {
	r := Result{Elapsed: time.Duration(nanoseconds), ByStatus: make(map[int]int)}
	for status, count := range byStatus {
		if count > 0 {
			r.ByStatus[status] = int(count)
		}
	}
	return r
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
