// Package libzmq has the cgo and the unsafe code of zmqauth. It does what zmq4 cannot do, or does
// with too many calls into C.
package libzmq

/*
#cgo pkg-config: libzmq
#include <stdlib.h>
#include <zmq.h>
#include "handler.h"
#cgo noescape zap_send
#cgo nocallback zap_send
#cgo nocallback zap_receive
*/
import "C"

import (
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
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

	woken atomic.Bool  // a message of the waker is under way
	wake  sync.Mutex   // guards waker
	waker *zmq4.Socket // the control pipe, connected to the socket; nil: closed, or there is none
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
	if err := h.socket.Bind(h.endpoint); err != nil {
		return err
	}
	err := h.connectWaker()
	if err != nil {
		_ = h.Unbind() // Close would free the endpoint later
	}
	return err
}

// connectWaker connects the control pipe. It has a name that no client of the socket can guess.
func (h *Handler) connectWaker() error {
	zctx, err := h.socket.Context()
	if err != nil {
		return err
	}
	waker, err := zctx.NewSocket(zmq4.DEALER)
	if err != nil {
		return err
	}
	name := "wake-" + rand.Text()
	err = errors.Join(waker.SetLinger(0), waker.SetIdentity(name), waker.Connect(h.endpoint))
	if err == nil {
		err = h.allocate(name)
	}
	if err != nil {
		_ = waker.Close()
		return err
	}
	h.waker = waker
	return nil
}

// allocate makes the buffer. An empty message of the waker, which has that routing id, only wakes.
func (h *Handler) allocate(waker string) error {
	pointer, err := socketPointer(h.socket)
	if err != nil {
		return err
	}
	name := C.CString(waker)
	defer C.free(unsafe.Pointer(name))
	return errno(C.zap_handler_new(pointer, name, C.size_t(len(waker)), &h.c))
}

// batch is how many messages Receive returns, at most.
const batch = C.ZAP_BATCH

// Receive waits for messages or for a call of Wake, and returns messages that are there. There were
// none if it returns none after Wake. The error is zmq4.ETERM once the context is terminated.
// Receive erases the messages that the previous call has returned.
func (h *Handler) Receive() ([]Message, error) {
	clear(unsafe.Slice((*byte)(&h.c.bytes[0]), int(h.c.used)))
	err := errno(C.zap_receive(h.c))
	if h.c.woken != 0 {
		h.woken.Store(false)
	}
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
	if h.woken.Swap(true) {
		return // what the caller has done before is seen by who gets that message
	}
	h.wake.Lock()
	defer h.wake.Unlock()
	if h.waker == nil {
		return
	}
	for {
		_, err := h.waker.SendBytes(nil, zmq4.DONTWAIT)
		if !errors.Is(err, zmq4.Errno(syscall.EINTR)) {
			return // but for the end of the context, which ends Receive, there is no error
		}
	}
}

// Unbind frees the endpoint for another socket. Existing connections stay.
func (h *Handler) Unbind() error { return h.socket.Unbind(h.endpoint) }

// Close closes the socket and frees the memory. Call it even after the context has been terminated,
// because Term waits for it. A second call does nothing.
func (h *Handler) Close() error {
	if h.c == nil {
		return nil
	}
	err := errors.Join(h.closeWaker(), h.socket.Close())
	// All of the buffer is erased: bytes of a message whose receipt failed are not in h.c.used.
	clear(unsafe.Slice((*byte)(&h.c.bytes[0]), C.ZAP_BUFFER))
	C.free(unsafe.Pointer(h.c))
	h.c = nil
	return err
}

// closeWaker closes the control pipe, unless there is none.
func (h *Handler) closeWaker() error {
	h.wake.Lock()
	defer h.wake.Unlock()
	if h.waker == nil {
		return nil
	}
	err := h.waker.Close()
	h.waker = nil
	return err
}

// errno returns an errno of C as the error that zmq4 would return for it. 0 is nil.
func errno(code C.int) error {
	if code == 0 {
		return nil
	}
	return zmq4.Errno(code)
}
