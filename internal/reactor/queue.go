// Package reactor hands work to the goroutine that runs a zmq4.Reactor.
package reactor

import (
	"sync"

	"github.com/pebbe/zmq4"
)

// Queue hands items from one goroutine, the writer, to the reactor's. It is a list, and a pair of
// sockets to wake the reactor with. The sockets have a context of their own, so that the end of the
// program's context never waits for a reactor that no longer runs. Their descriptors last until the
// reactor runs once more after End, or is garbage.
type Queue[T any] struct {
	reactor *zmq4.Reactor
	limit   int
	ctx     *zmq4.Context
	writer  *zmq4.Socket // the writer's
	reader  *zmq4.Socket // the reactor's

	mu    sync.Mutex
	items []T
	ended bool // the writer adds no more
}

const wakeup = "inproc://wakeup"

// NewQueue makes a queue of at most limit items. The reactor reads it after Attach.
func NewQueue[T any](r *zmq4.Reactor, limit int) (*Queue[T], error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	q := &Queue[T]{reactor: r, limit: limit, ctx: ctx}
	if err := q.connect(); err != nil {
		q.Discard()
		return nil, err
	}
	return q, nil
}

func (q *Queue[T]) connect() (err error) {
	if err = q.ctx.SetIoThreads(0); err != nil { // inproc needs none
		return err
	}
	if q.reader, err = q.ctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	if err = q.reader.Bind(wakeup); err != nil {
		return err
	}
	if q.writer, err = q.ctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	return q.writer.Connect(wakeup)
}

// Discard frees a queue that was not attached.
func (q *Queue[T]) Discard() {
	for _, socket := range []*zmq4.Socket{q.writer, q.reader} {
		if socket != nil {
			_ = socket.SetLinger(0)
			_ = socket.Close()
		}
	}
	_ = q.ctx.Term()
}

// Attach has the reactor's goroutine handle the items. Call it before the reactor runs, or on its
// goroutine.
func (q *Queue[T]) Attach(handle func(T)) {
	q.reactor.AddSocket(q.reader, zmq4.POLLIN, func(zmq4.State) error {
		q.drain(handle)
		return nil
	})
}

// Add adds an item. It returns false where too many are waiting. Only the writer calls it.
func (q *Queue[T]) Add(item T) bool {
	q.mu.Lock()
	if len(q.items) >= q.limit {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, item)
	first := len(q.items) == 1
	q.mu.Unlock()
	if first {
		q.wake()
	}
	return true
}

// Take takes all the items away.
func (q *Queue[T]) Take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

// Len is how many items wait.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// End closes the writer's part. Only the writer calls it. The reactor's goroutine frees the rest.
// If that never runs again, the garbage collector does.
func (q *Queue[T]) End() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.wake()
	_ = q.writer.Close()
}

func (q *Queue[T]) wake() { _, _ = q.writer.SendBytes(nil, zmq4.DONTWAIT) }

// drain has all the items handled that are there.
func (q *Queue[T]) drain(handle func(T)) {
	for {
		if _, err := q.reader.RecvBytes(zmq4.DONTWAIT); err != nil {
			break
		}
	}
	for _, item := range q.Take() {
		handle(item)
	}
	q.mu.Lock()
	ended := q.ended
	q.mu.Unlock()
	if ended {
		q.reactor.RemoveSocket(q.reader)
		_ = q.reader.Close()
		_ = q.ctx.Term()
	}
}
