package loadgen

/*
#include <stdlib.h>
#include "zap.h"
*/
import "C"

import (
	"bytes"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// Sources has the C sources of the load generator, for handlers in other languages. zap.h describes
// the functions. They need only libzmq.
//
//go:embed zap.h client.c serve.c echo.c
var Sources embed.FS

// Serve runs the loads that a Remote at the other end of the files sends, until in ends. For
// Handshakes it binds sockets of a ZAP domain that echo messages. It keeps one system thread busy.
func Serve(ctx *zmq4.Context, domain string, in, out *os.File) error {
	pointer, err := contextPointer(ctx)
	if err != nil {
		return err
	}
	text := C.CString(domain)
	defer C.free(unsafe.Pointer(text))
	code := C.loadgen_serve(pointer, text, C.int(in.Fd()), C.int(out.Fd()))
	runtime.KeepAlive(ctx)
	runtime.KeepAlive(in)
	runtime.KeepAlive(out)
	if syscall.Errno(code) == syscall.EPROTO {
		return errBadOrder
	}
	return errno(int(code))
}

var errBadOrder = errors.New("loadgen: what came is not from a Remote")

// Remote runs the load generator in another process, which calls Serve, or loadgen_serve in C. Only
// one goroutine at a time may use it.
type Remote struct {
	in        io.Writer
	out       io.Reader
	endpoints map[string]string // by mechanism
	serverKey string
}

// NewRemote waits until the other process serves. It writes to that process's input and reads from
// its output.
func NewRemote(in io.Writer, out io.Reader) (*Remote, error) {
	var h hello
	if err := binary.Read(out, binary.NativeEndian, &h); err != nil {
		return nil, fmt.Errorf("loadgen: the other process: %w", err)
	}
	return &Remote{in: in, out: out, endpoints: map[string]string{
		"NULL":  text(h.Endpoints[C.LOADGEN_NULL][:]),
		"PLAIN": text(h.Endpoints[C.LOADGEN_PLAIN][:]),
		"CURVE": text(h.Endpoints[C.LOADGEN_CURVE][:]),
	}, serverKey: text(h.ServerKey[:])}, nil
}

// hello and report are loadgen_hello and loadgen_report of zap.h.
type hello struct {
	Endpoints [C.LOADGEN_MECHANISMS][C.LOADGEN_ENDPOINT_SIZE]byte
	ServerKey [C.LOADGEN_KEY_SIZE]byte
}

type report struct {
	Error          int64
	CPUNanoseconds uint64
	Result         result
}

func text(terminated []byte) string {
	before, _, _ := bytes.Cut(terminated, []byte{0})
	return string(before)
}

// Endpoint returns the endpoint in the other process that echoes messages with a mechanism (NULL,
// PLAIN, CURVE).
func (r *Remote) Endpoint(mechanism string) string { return r.endpoints[mechanism] }

// ServerKey returns the server key of the CURVE endpoint in Z85.
func (r *Remote) ServerKey() string { return r.serverKey }

// Run sends the load in the other process. It returns the errors of the function Run and those of
// the connection.
func (r *Remote) Run(load Load) (Result, error) {
	if err := load.check(); err != nil {
		return Result{}, err
	}
	answer, err := r.exchange(load)
	if err != nil {
		return Result{}, err
	}
	return answer.Result.public(), errno(int(answer.Error))
}

// CPU returns the processor time that the other process has used until now, user and system.
func (r *Remote) CPU() (time.Duration, error) {
	answer, err := r.exchange(Load{})
	return time.Duration(answer.CPUNanoseconds), err
}

func (r *Remote) exchange(load Load) (answer report, err error) {
	o, sizes, frames := load.order()
	var message bytes.Buffer
	for _, part := range []any{o, sizes, frames} {
		_ = binary.Write(&message, binary.NativeEndian, part) // never fails: it writes to memory
	}
	if _, err := r.in.Write(message.Bytes()); err != nil {
		return report{}, fmt.Errorf("loadgen: the other process: %w", err)
	}
	if err := binary.Read(r.out, binary.NativeEndian, &answer); err != nil {
		return report{}, fmt.Errorf("loadgen: the other process: %w", err)
	}
	return answer, nil
}
