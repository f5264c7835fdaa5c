package loadgen

/*
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

	"github.com/pebbe/zmq4"
)

// Sources are those of the load generator for handlers in other languages: the files and zap.h, which says what to call.
// They need libzmq alone.
//
//go:embed zap.h client.c serve.c
var Sources embed.FS

// Serve runs what a Remote at the other end of the files asks for, until in ends. It keeps one system thread busy.
func Serve(ctx *zmq4.Context, in, out *os.File) error {
	pointer, err := contextPointer(ctx)
	if err != nil {
		return err
	}
	code := C.loadgen_serve(pointer, C.int(in.Fd()), C.int(out.Fd()))
	runtime.KeepAlive(ctx)
	runtime.KeepAlive(in)
	runtime.KeepAlive(out)
	if syscall.Errno(code) == syscall.EPROTO {
		return errBadOrder
	}
	return errno(int(code))
}

var errBadOrder = errors.New("loadgen: what came is not from a Remote")

// Remote is the load generator in another process, where Serve, or loadgen_serve in C, reads what is written here. It is
// for one goroutine.
type Remote struct {
	in  io.Writer
	out io.Reader
}

// NewRemote takes the ends of the other process's input and output.
func NewRemote(in io.Writer, out io.Reader) *Remote { return &Remote{in, out} }

// order and report are loadgen_order and loadgen_report of zap.h.
type order struct {
	InFlight, Requests, TimeoutMS, Frames uint32
}

type report struct {
	Error       int64
	Nanoseconds uint64
	ByStatus    [C.LOADGEN_STATUSES]uint32
}

// Run has the load sent in the other process, with the errors of the function Run besides those of the connection.
func (r *Remote) Run(load Load) (Result, error) {
	if err := load.check(); err != nil {
		return Result{}, err
	}
	frames, sizes := load.request()
	var message bytes.Buffer
	for _, part := range []any{
		order{uint32(load.InFlight), uint32(load.Requests), uint32(load.timeout().Milliseconds()), uint32(len(sizes))}, sizes, frames,
	} {
		_ = binary.Write(&message, binary.NativeEndian, part) // to memory
	}
	if _, err := r.in.Write(message.Bytes()); err != nil {
		return Result{}, fmt.Errorf("loadgen: the other process: %w", err)
	}
	var answer report
	if err := binary.Read(r.out, binary.NativeEndian, &answer); err != nil {
		return Result{}, fmt.Errorf("loadgen: the other process: %w", err)
	}
	return newResult(answer.Nanoseconds, answer.ByStatus[:]), errno(int(answer.Error))
}
