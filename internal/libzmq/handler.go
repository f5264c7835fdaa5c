// Package libzmq has the cgo and the unsafe code of zmqauth. It does what zmq4 cannot do, or does
// with too many calls into C.
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

// Message is one received message. The frames alias the buffer of the Handler and are valid until
// its next Receive.
type Message struct {
	Frames [][]byte

	// Truncated says that the message had more frames or bytes than a ZAP request ever has. Frames
	// is the beginning of the message then.
	Truncated bool
}

// Handler receives and sends whole messages on a ROUTER socket, or receives them on another one.
// One goroutine owns it. Other goroutines may only call Wake.
type Handler struct {
	socket   *zmq4.Socket
	endpoint string
	c        *C.zap_handler
	messages []Message
	frames   [][]byte

	// wake guards closed and the use of the control pipe by Wake. After Close the number of the
	// pipe's descriptor may belong to another file.
	wake   sync.Mutex
	closed bool
}

// Bind makes a ROUTER socket in ctx and binds it to an inproc endpoint. The returned Handler owns
// the socket.
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
	// The queues have no limits. A reply that a full queue drops would let the client's handshake
	// time out. The queues stay short nevertheless: each connection has at most one request.
	for _, err := range []error{
		h.socket.SetLinger(0), h.socket.SetRcvhwm(0), h.socket.SetSndhwm(0),
		h.socket.SetRouterMandatory(1), // so that Send knows who is gone
	} {
		if err != nil {
			return err
		}
	}
	if err := h.allocate(); err != nil {
		return err
	}
	if err := h.socket.Bind(h.endpoint); err != nil {
		C.zap_handler_free(h.c)
		return err
	}
	return nil
}

// allocate makes the buffer and the control pipe.
func (h *Handler) allocate() error {
	pointer, err := socketPointer(h.socket)
	if err != nil {
		return err
	}
	// The lock keeps a child process from inheriting the pipe before it is close-on-exec.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return errno(C.zap_handler_new(pointer, &h.c))
}

// Receive waits for messages or for a call of Wake, and returns the messages that are there. After
// Wake there may be none. The error is zmq4.ETERM once the context is terminated. Receive erases
// the messages that the previous call has returned.
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
	return Message{
		Frames:    h.frames[first:len(h.frames):len(h.frames)],
		Truncated: m.truncated != 0,
	}
}

// Send sends messages. bytes has their frames one after the other, sizes has the size of each
// frame, and frames has the number of frames of each message. A message to a peer that is gone is
// dropped. gone, unless it is nil, has an element for each message: 1 if its peer was gone, else 0.
func (h *Handler) Send(bytes []byte, sizes, frames []uint32, gone []uint8) error {
	return errno(C.zap_send(h.c,
		(*C.uint8_t)(unsafe.SliceData(bytes)),
		(*C.uint32_t)(unsafe.SliceData(sizes)),
		(*C.uint32_t)(unsafe.SliceData(frames)),
		C.int(len(frames)),
		(*C.uint8_t)(unsafe.SliceData(gone))))
}

// Wake ends the Receive that waits, or else the next one. It never blocks. Any goroutine may call
// it at any time, even after Close.
func (h *Handler) Wake() {
	h.wake.Lock()
	defer h.wake.Unlock()
	if h.closed {
		return
	}
	for {
		_, err := syscall.Write(int(h.c.wake_write), []byte{0})
		if !errors.Is(err, syscall.EINTR) {
			return // a full pipe is an error that does not matter: it has enough wake-ups
		}
	}
}

// Unbind frees the endpoint for another socket. Existing connections stay.
func (h *Handler) Unbind() error { return h.socket.Unbind(h.endpoint) }

// Close closes the socket and frees the memory. Call it even after the context has been terminated,
// because Term waits for it. A second call does nothing.
func (h *Handler) Close() error {
	h.wake.Lock()
	defer h.wake.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	err := h.socket.Close()
	// All of the buffer is erased: bytes of a message whose receipt failed are not in h.c.used.
	clear(unsafe.Slice((*byte)(&h.c.bytes[0]), C.ZAP_BUFFER))
	C.zap_handler_free(h.c)
	h.c = nil
	return err
}

// errno returns an errno of C as the error that zmq4 would return for it. 0 is nil.
func errno(code C.int) error {
	if code == 0 {
		return nil
	}
	return zmq4.Errno(code)
}
