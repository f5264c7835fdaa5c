package zmqauth

import (
	"errors"
	"fmt"
	"sync"

	"github.com/pebbe/zmq4"
)

// Attach does what Start does, but the goroutine that runs the reactor judges the requests, between
// the program's own handlers. So no request is judged while one of those handlers runs. Callbacks
// run beside the reactor.
//
// The ZAP socket keeps a goroutine of its own. Stop, Close and the context's end take effect
// whatever the reactor does. While the reactor does nothing, clients wait.
//
// Call Attach before r.Run, or on its goroutine. After Stop, Start resumes the service by the same
// reactor. Close takes the Authenticator's socket out of the reactor. If that has no other socket,
// its Run returns an error then. The errors of Attach are those of Start; besides, the reactor must
// not be nil, and the Authenticator must not have been started or attached before.
func (a *Authenticator) Attach(r *zmq4.Reactor) error {
	if r == nil {
		return errors.New("zmqauth: Attach: the reactor is nil")
	}
	q, err := newReactorQueue(r)
	if err != nil {
		return fmt.Errorf("zmqauth: Attach: %w", err)
	}
	if err := a.start(q); err != nil {
		q.discard()
		return err
	}
	r.AddSocket(q.reader, zmq4.POLLIN, func(zmq4.State) error { return q.drain(a.judgeTicket()) })
	return nil
}

// judgeTicket is what judges the tickets of the reactor's queue.
func (a *Authenticator) judgeTicket() func(*ticket) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.loop.judgeTicket
}

// maxReactorQueue is how many requests wait for the reactor. One more is told to try again.
const maxReactorQueue = 4096

// reactorQueue hands tickets from the loop to the reactor's goroutine. It is a list, and a pair of
// sockets to wake the reactor with. The sockets have a context of their own, so that the end of the
// program's context never waits for a reactor that no longer runs. Their descriptors last until the
// reactor runs once more after Close, or is garbage.
type reactorQueue struct {
	reactor *zmq4.Reactor
	limit   int
	ctx     *zmq4.Context
	writer  *zmq4.Socket // the loop's
	reader  *zmq4.Socket // the reactor's

	mu      sync.Mutex
	tickets []*ticket
	ended   bool // the loop adds no more
}

const reactorWakeup = "inproc://wakeup"

func newReactorQueue(r *zmq4.Reactor) (*reactorQueue, error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	q := &reactorQueue{reactor: r, limit: maxReactorQueue, ctx: ctx}
	if err := q.connect(); err != nil {
		q.discard()
		return nil, err
	}
	return q, nil
}

func (q *reactorQueue) connect() (err error) {
	if err = q.ctx.SetIoThreads(0); err != nil { // inproc needs none
		return err
	}
	if q.reader, err = q.ctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	if err = q.reader.Bind(reactorWakeup); err != nil {
		return err
	}
	if q.writer, err = q.ctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	return q.writer.Connect(reactorWakeup)
}

// discard frees a queue that nobody uses.
func (q *reactorQueue) discard() {
	for _, socket := range []*zmq4.Socket{q.writer, q.reader} {
		if socket != nil {
			_ = socket.SetLinger(0)
			_ = socket.Close()
		}
	}
	_ = q.ctx.Term()
}

// add adds a ticket. It returns false where too many are waiting. Only the loop calls it.
func (q *reactorQueue) add(t *ticket) bool {
	q.mu.Lock()
	if len(q.tickets) >= q.limit {
		q.mu.Unlock()
		return false
	}
	q.tickets = append(q.tickets, t)
	first := len(q.tickets) == 1
	q.mu.Unlock()
	if first {
		q.wake()
	}
	return true
}

// take takes all the tickets away.
func (q *reactorQueue) take() []*ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	tickets := q.tickets
	q.tickets = nil
	return tickets
}

// end closes the loop's part. The reactor's handler frees the rest. If that never runs again, the
// garbage collector does.
func (q *reactorQueue) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.wake()
	_ = q.writer.Close()
}

func (q *reactorQueue) wake() { _, _ = q.writer.SendBytes(nil, zmq4.DONTWAIT) }

// drain is the reactor's handler: it has all the tickets judged that are there.
func (q *reactorQueue) drain(judge func(*ticket)) error {
	for {
		if _, err := q.reader.RecvBytes(zmq4.DONTWAIT); err != nil {
			break
		}
	}
	for _, t := range q.take() {
		judge(t)
	}
	q.mu.Lock()
	ended := q.ended
	q.mu.Unlock()
	if ended {
		q.reactor.RemoveSocket(q.reader)
		_ = q.reader.Close()
		_ = q.ctx.Term()
	}
	return nil
}
