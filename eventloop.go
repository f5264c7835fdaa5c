package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// This file serves programs with an event loop of their own: HandleZAPMessage for those that own the ZAP socket, Attach
// for those that run a zmq4.Reactor.

// HandleZAPMessage judges one ZAP request for a program that owns the ZAP socket itself. request is what a REP socket
// receives: the frames behind the empty delimiter, version first; reply is what it sends: six frames, version first. A
// request too short to be answered, with less than the version and the request id, gives nil. It returns at once unless
// a callback has to be asked; then it waits for that, and answers 300 when ctx ends. It needs no Start, and refuses
// everyone after Stop and Close. A GSSAPI client is refused with status 999, because libzmq (to 4.3.5) lets one in
// whatever valid status it reads; and without the delay that Start and Attach have for one that comes back all the time:
// the program has the socket, and may send the reply when it likes.
func (a *Authenticator) HandleZAPMessage(ctx context.Context, request [][]byte) (reply [][]byte) {
	arrived := time.Now()
	if ctx == nil {
		ctx = context.Background()
	}
	a.counters.requests.Add(1)
	if len(request) < zap.Answerable {
		a.drop()
		return nil
	}
	t := ticket{arrived: arrived}
	t.malformed = zap.Decode(request, &t.request)
	v := a.decideAndWait(ctx, &t)
	code, text := zap.WireStatus(v.status, t.request.Mechanism)
	reply = [][]byte{[]byte(zap.Version), t.request.ID, []byte(code), []byte(text), nil, nil}
	if v.status == zap.StatusOK {
		reply[4], reply[5] = []byte(v.userID), slices.Clone(v.metadata)
	}
	a.counters.count(v.status)
	a.reports.keepUp(arrived)
	if a.reports.wants(v.status) {
		a.tell(subjectOf(&t.request, arrived), v)
	}
	return reply
}

func (a *Authenticator) decideAndWait(ctx context.Context, t *ticket) verdict {
	a.mu.RLock()
	v, in := a.decide(&t.request, t.malformed)
	epoch := a.epoch
	if in == nil {
		a.mu.RUnlock()
		return v
	}
	answers := make(chan verdict, 1)
	in.parent = ctx
	in.answer = func(v verdict) { answers <- v }
	a.submit(in)
	a.mu.RUnlock()
	// The callback's own context ends with ctx; this is for an inquiry that is still waiting to be made.
	stop := context.AfterFunc(ctx, func() { in.lane.settle(in, temporary(ReasonCanceled)) })
	defer stop()
	v = <-answers
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.current(v, epoch)
}

// Attach does what Start does, but has requests judged by the goroutine that runs the reactor, between the program's
// own handlers: whatever else it does then, the policy is the program's to change without a race. Callbacks run beside
// it, as ever. The ZAP socket keeps a goroutine of its own, so that Stop, Close and the context's end take effect
// whatever the reactor does; while it does nothing, clients wait. Call Attach before r.Run, or on its goroutine. After
// Stop, Start resumes the service by the same reactor. Close takes our socket out of the reactor, whose Run returns an
// error when it has no other. The errors are those of Start, and that the reactor is nil or the Authenticator has been
// started or attached before.
func (a *Authenticator) Attach(r *zmq4.Reactor) error {
	if r == nil {
		return errors.New("zmqauth: Attach: the reactor is nil")
	}
	d, err := newDoor(r)
	if err != nil {
		return fmt.Errorf("zmqauth: Attach: %w", err)
	}
	if err := a.start(d); err != nil {
		d.discard()
		return err
	}
	r.AddSocket(d.outside, zmq4.POLLIN, func(zmq4.State) error { return d.answer(a.attendant()) })
	return nil
}

// attendant is what judges the tickets behind the door.
func (a *Authenticator) attendant() func(*ticket) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.loop.attend
}

// doorLimit is how many requests wait for the reactor; one more is told to try again.
const doorLimit = 4096

// door leads from the loop to the reactor's goroutine: a list of tickets, and a pair of sockets to ring with. They have a
// context of their own, so that the end of the program's never waits for a reactor that no longer runs; its descriptors
// last until the reactor runs once more after Close, or is garbage.
type door struct {
	reactor *zmq4.Reactor
	limit   int
	ctx     *zmq4.Context
	inside  *zmq4.Socket // the loop's
	outside *zmq4.Socket // the reactor's

	mu      sync.Mutex
	tickets []*ticket
	left    bool // the loop has ended
}

const doorbell = "inproc://doorbell"

func newDoor(r *zmq4.Reactor) (*door, error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	d := &door{reactor: r, limit: doorLimit, ctx: ctx}
	if err := d.connect(); err != nil {
		d.discard()
		return nil, err
	}
	return d, nil
}

func (d *door) connect() (err error) {
	if err = d.ctx.SetIoThreads(0); err != nil { // inproc needs none
		return err
	}
	if d.outside, err = d.ctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	if err = d.outside.Bind(doorbell); err != nil {
		return err
	}
	if d.inside, err = d.ctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	return d.inside.Connect(doorbell)
}

// discard frees a door that nobody uses.
func (d *door) discard() {
	for _, socket := range []*zmq4.Socket{d.inside, d.outside} {
		if socket != nil {
			_ = socket.SetLinger(0)
			_ = socket.Close()
		}
	}
	_ = d.ctx.Term()
}

// bring puts a ticket before the door; it returns false where too many are waiting. It is the loop's to call.
func (d *door) bring(t *ticket) bool {
	d.mu.Lock()
	if len(d.tickets) >= d.limit {
		d.mu.Unlock()
		return false
	}
	d.tickets = append(d.tickets, t)
	first := len(d.tickets) == 1
	d.mu.Unlock()
	if first {
		d.ring()
	}
	return true
}

// take takes all the tickets away.
func (d *door) take() []*ticket {
	d.mu.Lock()
	defer d.mu.Unlock()
	tickets := d.tickets
	d.tickets = nil
	return tickets
}

// leave ends the loop's part: the reactor's handler frees the rest, or, if it never runs again, the garbage collector.
func (d *door) leave() {
	d.mu.Lock()
	d.left = true
	d.mu.Unlock()
	d.ring()
	_ = d.inside.Close()
}

func (d *door) ring() { _, _ = d.inside.SendBytes(nil, zmq4.DONTWAIT) }

// answer is the reactor's handler: it attends to all the tickets that are there.
func (d *door) answer(attend func(*ticket)) error {
	for {
		if _, err := d.outside.RecvBytes(zmq4.DONTWAIT); err != nil {
			break
		}
	}
	for _, t := range d.take() {
		attend(t)
	}
	d.mu.Lock()
	left := d.left
	d.mu.Unlock()
	if left {
		d.reactor.RemoveSocket(d.outside)
		_ = d.outside.Close()
		_ = d.ctx.Term()
	}
	return nil
}
