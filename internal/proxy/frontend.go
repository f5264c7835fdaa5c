package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pebbe/zmq4"
)

// frontend is one bound socket before one service. While it runs, its goroutine owns all of its
// sockets except waker. The frontendSet, which owns waker, gives the goroutine tasks.
type frontend struct {
	spec      frontendSpec
	zctx      *zmq4.Context
	log       *slog.Logger
	front     *zmq4.Socket // bound, for the clients
	back      *zmq4.Socket // connected to the service
	wakeup    *zmq4.Socket // wakes the goroutine
	waker     *zmq4.Socket // the peer of wakeup
	forwarder *forwarder
	bound     string // the endpoint in libzmq's spelling; "": not bound

	tasks chan func()
	done  chan struct{} // closed when the goroutine has ended
	err   error         // why it has ended; nil: its drain is over. Read it after done.
}

// newFrontend makes a frontend that is connected to its service. It is neither bound nor running.
func newFrontend(zctx *zmq4.Context, log *slog.Logger, spec frontendSpec) (*frontend, error) {
	f := &frontend{
		spec:  spec,
		zctx:  zctx,
		log:   log.With("frontend", spec.Name),
		tasks: make(chan func(), 1),
		done:  make(chan struct{}),
	}
	if err := f.open(); err != nil {
		f.discard()
		return nil, f.locate(err)
	}
	return f, nil
}

func (f *frontend) open() (err error) {
	if f.front, f.back, err = f.spec.open(f.zctx); err != nil {
		return err
	}
	endpoint := newInproc()
	if f.wakeup, err = f.zctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	if f.waker, err = f.zctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	f.forwarder = newForwarder(patterns[f.spec.Type], f.front, f.back, f.wakeup)
	return errors.Join(f.wakeup.SetLinger(0), f.waker.SetLinger(0),
		f.wakeup.Bind(endpoint), f.waker.Connect(endpoint))
}

// locate adds the frontend's name, file and line to an error.
func (f *frontend) locate(err error) error {
	return locate(f.spec.Frontend, fmt.Errorf("frontend %q: %s", f.spec.Name, bareMessage(err)))
}

// discard closes the sockets of a frontend that does not run.
func (f *frontend) discard() {
	for _, socket := range []*zmq4.Socket{f.front, f.back, f.wakeup, f.waker} {
		if socket != nil {
			_ = socket.Close()
		}
	}
}

// bind binds the frontend's socket, which has its security role already.
func (f *frontend) bind() error {
	if err := f.front.Bind(f.spec.Bind); err != nil {
		return f.locate(fmt.Errorf("bind %s: %w", f.spec.Bind, err))
	}
	bound, err := f.front.GetLastEndpoint()
	if err != nil {
		return f.locate(err)
	}
	f.bound = bound
	f.log.Info("zmqauth: bound", "endpoint", bound, "backend", f.spec.Backend,
		"type", f.spec.Type, "mechanism", f.spec.Mechanism, "domain", f.spec.Domain)
	return nil
}

// unbind frees the endpoint and waits until it is free. libzmq then cuts each connection as soon as
// it has sent what it holds for it.
func (f *frontend) unbind() error {
	if f.bound == "" {
		return nil
	}
	bound := f.bound
	removeSocketFile(bound)
	f.bound = ""
	if err := f.front.SetLinger(f.remaining()); err != nil {
		return f.locate(err)
	}
	if err := unbindAndWait(f.zctx, f.front, bound); err != nil {
		return f.locate(fmt.Errorf("unbind %s: %w", bound, err))
	}
	return nil
}

// remaining is the time until the drain's deadline.
func (f *frontend) remaining() time.Duration {
	return max(0, time.Until(f.forwarder.drain.deadline))
}

// run starts the goroutine, which calls ended as its last act.
func (f *frontend) run(ended func(*frontend)) {
	go func() {
		defer ended(f)
		defer close(f.done)
		if err := f.forwarder.run(f.work); err != nil {
			f.err = f.locate(err)
		}
		f.close()
	}()
}

// close frees the endpoint and closes the sockets. libzmq goes on sending what it holds until the
// drain's deadline.
func (f *frontend) close() {
	if err := f.unbind(); err != nil {
		f.log.Warn("zmqauth: a frontend that ends", "error", err)
	}
	linger := f.remaining()
	for _, socket := range []*zmq4.Socket{f.front, f.back} {
		_ = socket.SetLinger(linger)
		_ = socket.Close()
	}
	_ = f.wakeup.Close()
	if lost := f.forwarder.undelivered(); lost > 0 {
		f.log.Warn(MessageLost, "messages", lost)
		return
	}
	f.log.Info(MessageEnded)
}

// work runs the task that do has left, if there is one.
func (f *frontend) work() {
	select {
	case task := <-f.tasks:
		task()
	default:
	}
}

// do has the goroutine run a task between two messages, and waits for the result. Only the
// frontendSet's goroutine may call it.
func (f *frontend) do(task func() error) error {
	result := make(chan error, 1)
	select {
	case f.tasks <- func() { result <- task() }:
	case <-f.done: // an earlier task was never taken
	}
	_, _ = f.waker.SendBytes([]byte{0}, zmq4.DONTWAIT)
	select {
	case err := <-result:
		return err
	case <-f.done:
		return f.locate(errors.New("it has ended"))
	}
}

func (f *frontend) hasEnded() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *frontend) clashes(other *frontend) bool { return f.spec.clashes(other.spec) }
