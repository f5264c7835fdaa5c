package libzmq

/*
#include "forward.h"
#cgo noescape forward_run
#cgo nocallback forward_run
#cgo nocallback forward_discard
#cgo nocallback forward_open
*/
import "C"

import (
	"errors"
	"runtime"
	"time"

	"github.com/pebbe/zmq4"
)

// Forwarder carries whole messages between two sockets. Up is the way from front to back, down the
// other one. One goroutine at a time may use the Forwarder and its sockets.
//
// It takes a message only when the receiving socket has taken the one before: a socket that takes
// nothing makes the senders wait, and no queue grows without bound.
type Forwarder struct {
	c       *C.forwarder
	sockets []*zmq4.Socket // that c uses
}

// ForwarderOptions say what a Forwarder does.
type ForwarderOptions struct {
	Down bool // messages go down, too

	// CountUp and CountDown count the messages of a way that the receiving socket has taken and not
	// yet written to a connection.
	CountUp, CountDown bool

	// Window is how many such messages there are on the way up, at most: beyond it none is taken, and
	// Run returns Full. 0: as many as the socket takes. It needs CountUp.
	Window int

	// Subscriptions drops messages on the way up that are no subscriptions.
	Subscriptions bool

	// Delimiters counts the messages whose second frame is empty, as those of REQ are behind a
	// ROUTER.
	Delimiters bool
}

// Way is what one way has done.
type Way struct {
	Passed    uint64 // messages that the receiving socket has taken
	Delimited uint64 // of these: with an empty second frame
	Broken    uint64 // messages that were lost with a connection that ended in the middle of them
	Refused   uint64 // messages that are no subscriptions

	// Open is how many messages were taken and are neither with the socket's connection nor dropped.
	// The one that the receiving socket does not take at the moment is among them.
	Open uint64
}

// NewForwarder makes a Forwarder. Free frees it.
func NewForwarder(front, back *zmq4.Socket, o ForwarderOptions) (*Forwarder, error) {
	f := &Forwarder{sockets: []*zmq4.Socket{front, back}}
	frontPointer, err := socketPointer(front)
	if err != nil {
		return nil, err
	}
	backPointer, err := socketPointer(back)
	if err != nil {
		return nil, err
	}
	err = errno(C.forward_new(frontPointer, backPointer, cInt(o.Down), cInt(o.CountUp),
		cInt(o.CountDown), &f.c))
	if err != nil {
		return nil, err
	}
	f.c.up.window, f.c.up.subscriptions = C.uint64_t(o.Window), cInt(o.Subscriptions)
	f.c.up.delimiters, f.c.down.delimiters = cInt(o.Delimiters), cInt(o.Delimiters)
	return f, nil
}

// Full is the bit of Run's result that says that the window is full.
const Full uint32 = C.FORWARD_FULL

// errItems says that a Forwarder watches too many sockets.
var errItems = errors.New("too many sockets to wait for")

// Watch has Run return when socket has a message. The first watched socket has bit 0 of Run's
// result, the next bit 1.
func (f *Forwarder) Watch(socket *zmq4.Socket) error {
	pointer, err := socketPointer(socket)
	if err != nil {
		return err
	}
	if f.c.item_count == C.FORWARD_ITEMS {
		return errItems
	}
	f.c.items[f.c.item_count] = pointer
	f.c.item_count++
	f.sockets = append(f.sockets, socket)
	return nil
}

// Pause sets whether new messages are left with their sender, for each way.
func (f *Forwarder) Pause(up, down bool) {
	f.c.up.paused, f.c.down.paused = cInt(up), cInt(down)
}

// Run passes messages on until a watched socket has a message, or for timeout at most. A negative
// timeout means for ever. With once it waits once, passes on what is there, and returns. The result
// has a bit for each watched socket that has a message, and perhaps Full. Signals may end it early.
func (f *Forwarder) Run(timeout time.Duration, once bool) (ready uint32, err error) {
	milliseconds := C.int(-1)
	if timeout >= 0 {
		// Rounded up, because zmq_poll would not wait at all for less than one.
		milliseconds = C.int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	var bits C.uint32_t
	err = errno(C.forward_run(f.c, milliseconds, cInt(once), &bits))
	runtime.KeepAlive(f)
	return uint32(bits), err
}

// Up returns what the way up has done.
func (f *Forwarder) Up() Way { return wayOf(&f.c.up) }

// Down returns what the way down has done.
func (f *Forwarder) Down() Way { return wayOf(&f.c.down) }

func wayOf(way *C.forward_way) Way {
	open := uint64(C.forward_open(way))
	if way.held != 0 && way.counted == 0 {
		open++
	}
	return Way{uint64(way.passed), uint64(way.delimited), uint64(way.broken), uint64(way.refused),
		open}
}

// Discard takes all messages that front has received, drops them, and returns how many there were.
func (f *Forwarder) Discard() (count uint64, err error) {
	var n C.uint64_t
	err = errno(C.forward_discard(f.c, &n))
	return uint64(n), err
}

// Free frees the memory. The sockets stay open. A second call does nothing.
func (f *Forwarder) Free() {
	if f.c != nil {
		C.forward_free(f.c)
		f.c = nil
	}
}

func cInt(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
