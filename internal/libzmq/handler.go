// Package libzmq holds all the cgo and unsafe of zmqauth: what zmq4 cannot do, or does in too many
// crossings into C.
package libzmq

/*
#cgo pkg-config: libzmq
#include <zmq.h>
#include "handler.h"
#cgo noescape zap_send
#cgo nocallback zap_send
#cgo nocallback zap_receive
*/
import "C"

import (
	"errors"
	"sync"
	"syscall"
	"unsafe"

	"github.com/pebbe/zmq4"
)

// Message is one message as it came: the frames alias the Handler's buffer and hold until its next
// Receive.
type Message struct {
	Frames    [][]byte
	Truncated bool // there were more frames or bytes than a ZAP request ever has; Frames holds the first of them
}

// Handler receives and sends whole messages on a ROUTER socket. One goroutine owns it; only Wake
// may be called from any.
type Handler struct {
	socket   *zmq4.Socket
	endpoint string
	c        *C.zap_handler
	messages []Message
	frames   [][]byte

	wake   sync.Mutex
	closed bool // guarded by wake: the descriptor behind the control pipe's end may be another's by now
}

// Bind makes a ROUTER socket in ctx, binds it to endpoint (inproc://…) and returns the Handler
// that owns it.
func Bind(ctx *zmq4.Context, endpoint string) (*Handler, error) {
	socket, err := ctx.NewSocket(zmq4.ROUTER)
	if err != nil {
		return nil, err
	}
	h := &Handler{socket: socket, endpoint: endpoint}
	if err := h.open(); err != nil {
		_ = socket.Close()
		return nil, err
	}
	return h, nil
}

func (h *Handler) open() error {
	// Without limits on the queues: a reply dropped at one would leave a handshake to its time-out,
	// and each of libzmq's sessions has at most one request under way.
	for _, err := range []error{h.socket.SetLinger(0), h.socket.SetRcvhwm(0), h.socket.SetSndhwm(0)} {
		if err != nil {
			return err
		}
	}
	pointer, err := socketPointer(h.socket)
	if err != nil {
		return err
	}
	syscall.ForkLock.RLock() // no child process is to inherit the pipe before it is marked
	err = errno(C.zap_handler_new(pointer, &h.c))
	syscall.ForkLock.RUnlock()
	if err != nil {
		return err
	}
	if err := h.socket.Bind(h.endpoint); err != nil {
		C.zap_handler_free(h.c)
		return err
	}
	return nil
}

// Receive waits until messages are there or Wake has been called, and returns the messages: none
// after a mere Wake. It returns zmq4.ETERM once the context is terminated. It erases the bytes of
// the messages it returned before.
func (h *Handler) Receive() ([]Message, error) {
	clear(unsafe.Slice((*byte)(&h.c.bytes[0]), int(h.c.used)))
	err := errno(C.zap_receive(h.c))
	h.messages, h.frames = h.messages[:0], h.frames[:0]
	for i := range int(h.c.count) {
		h.messages = append(h.messages, h.message(&h.c.messages[i]))
	}
	return h.messages, err
}

func (h *Handler) message(m *C.zap_message) Message {
	bytes := unsafe.Slice((*byte)(&h.c.bytes[0]), C.ZAP_BUFFER)
	first, offset := len(h.frames), int(m.offset)
	for _, size := range m.sizes[:m.frames] {
		end := offset + int(size)
		h.frames = append(h.frames, bytes[offset:end:end])
		offset = end
	}
	return Message{Frames: h.frames[first:len(h.frames):len(h.frames)], Truncated: m.truncated != 0}
}

// Send sends messages, whose frames lie one after the other in bytes: sizes are those of the
// frames, frames says how many each message has. A message for a peer that is gone is dropped.
func (h *Handler) Send(bytes []byte, sizes, frames []uint32) error {
	return errno(C.zap_send(h.c, (*C.uint8_t)(unsafe.SliceData(bytes)), (*C.uint32_t)(unsafe.SliceData(sizes)),
		(*C.uint32_t)(unsafe.SliceData(frames)), C.int(len(frames))))
}

// Wake ends a Receive that waits, or the next one. It never blocks and may be called by any
// goroutine at any time.
func (h *Handler) Wake() {
	h.wake.Lock()
	defer h.wake.Unlock()
	if h.closed {
		return
	}
	for {
		// A full pipe has woken Receive already.
		if _, err := syscall.Write(int(h.c.wake_write), []byte{0}); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// Unbind frees the endpoint at once for another socket; connections that exist stay.
func (h *Handler) Unbind() error { return h.socket.Unbind(h.endpoint) }

// Close frees everything. It must be called even where the context has been terminated: Term waits
// for it.
func (h *Handler) Close() error {
	h.wake.Lock()
	defer h.wake.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	err := h.socket.Close()
	clear(unsafe.Slice((*byte)(&h.c.bytes[0]), C.ZAP_BUFFER)) // all: the context's end may have cut a message short
	C.zap_handler_free(h.c)
	h.c = nil
	return err
}

// errno is the error of a C function that returns an errno, as zmq4 would report it.
func errno(code C.int) error {
	if code == 0 {
		return nil
	}
	return zmq4.Errno(code)
}
