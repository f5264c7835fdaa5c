package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"
)

// frontend is one bound socket before one service. Once it runs, its goroutine owns its sockets but
// waker; the frontendSet hands it tasks.
type frontend struct {
	spec      frontendSpec
	zctx      *zmq4.Context
	log       *slog.Logger
	front     *zmq4.Socket
	back      *zmq4.Socket
	wakeup    *zmq4.Socket // wakes the goroutine
	waker     *zmq4.Socket // its other end, the set's
	forwarder *forwarder
	bound     string // the endpoint as libzmq has it; "": not bound

	tasks chan func()
	done  chan struct{} // closed: the goroutine has ended
	err   error         // why, nil: it has drained
}

var inprocs atomic.Uint64

// newInproc is an endpoint within the context that nobody else has.
func newInproc() string { return fmt.Sprintf("inproc://zmqauth-%d", inprocs.Add(1)) }

// newFrontend makes a frontend that is connected to its service, but neither bound nor running.
func newFrontend(zctx *zmq4.Context, log *slog.Logger, spec frontendSpec) (*frontend, error) {
	f := &frontend{spec: spec, zctx: zctx, log: log.With("frontend", spec.Name), tasks: make(chan func(), 1), done: make(chan struct{})}
	if err := f.open(); err != nil {
		f.discard()
		return nil, f.blame(err)
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
	return errors.Join(f.wakeup.SetLinger(0), f.waker.SetLinger(0), f.wakeup.Bind(endpoint), f.waker.Connect(endpoint))
}

// blame says which frontend an error is about.
func (f *frontend) blame(err error) error {
	return blame(f.spec.Frontend, fmt.Errorf("frontend %q: %s", f.spec.Name, bare(err)))
}

// discard frees a frontend that does not run.
func (f *frontend) discard() {
	for _, socket := range []*zmq4.Socket{f.front, f.back, f.wakeup, f.waker} {
		if socket != nil {
			_ = socket.Close()
		}
	}
}

// bind binds the frontend's socket, which has its role.
func (f *frontend) bind() error {
	if err := f.front.Bind(f.spec.Bind); err != nil {
		return f.blame(fmt.Errorf("bind %s: %w", f.spec.Bind, err))
	}
	bound, err := f.front.GetLastEndpoint()
	if err != nil {
		return f.blame(err)
	}
	f.bound = bound
	f.log.Info("zmqauth: bound", "endpoint", bound, "backend", f.spec.Backend,
		"type", f.spec.Type, "mechanism", f.spec.Mechanism, "domain", f.spec.Domain)
	return nil
}

// unbind frees the endpoint, and returns when that is done. libzmq cuts the connections, as soon as
// what it has taken for them is sent.
func (f *frontend) unbind() error {
	if f.bound == "" {
		return nil
	}
	bound := f.bound
	f.removeFile()
	if err := f.front.SetLinger(max(0, time.Until(f.forwarder.deadline))); err != nil {
		return f.blame(err)
	}
	if err := unbindAndWait(f.zctx, f.front, bound); err != nil {
		return f.blame(fmt.Errorf("unbind %s: %w", bound, err))
	}
	return nil
}

// removeFile removes the file of a Unix socket, which some versions of libzmq leave behind. It
// comes before the listener is closed: afterwards the name may be another's.
func (f *frontend) removeFile() {
	if path, ok := strings.CutPrefix(f.bound, "ipc:///"); ok {
		_ = os.Remove("/" + path) // an error: it is not there
	}
	f.bound = ""
}

// releaseTime is far more than libzmq takes to close a listener.
const releaseTime = 5 * time.Second

// unbindAndWait waits until the listener is closed, which libzmq does by and by: what is bound to
// the endpoint next must not find it in use, or lose its file to the one before.
func unbindAndWait(zctx *zmq4.Context, socket *zmq4.Socket, endpoint string) error {
	monitor, err := zctx.NewSocket(zmq4.PAIR)
	if err != nil {
		return err
	}
	defer monitor.Close()
	address := newInproc()
	defer func() { _ = socket.Monitor("", 0) }()
	err = errors.Join(monitor.SetLinger(0), monitor.SetRcvtimeo(releaseTime), socket.Monitor(address, zmq4.EVENT_CLOSED), monitor.Connect(address))
	if err == nil {
		err = socket.Unbind(endpoint)
	}
	for err == nil {
		var event zmq4.Event
		var closed string
		event, closed, _, err = monitor.RecvEvent(0)
		if err == nil && event == zmq4.EVENT_CLOSED && closed == endpoint {
			return nil
		}
	}
	return err
}

// run starts the goroutine; ended is called by it at the end.
func (f *frontend) run(ended func(*frontend)) {
	go func() {
		defer ended(f)
		defer close(f.done)
		if err := f.forwarder.run(f.work); err != nil {
			f.err = f.blame(err)
		}
		f.close()
	}()
}

// close lets libzmq hand over what it has taken until the end of the time that draining has. The
// endpoint is free when it returns.
func (f *frontend) close() {
	if err := f.unbind(); err != nil {
		f.log.Warn("zmqauth: a frontend that ends", "error", err)
	}
	linger := max(0, time.Until(f.forwarder.deadline))
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

func (f *frontend) work() {
	select {
	case task := <-f.tasks:
		task()
	default:
	}
}

// do has the goroutine do something between two messages, and waits for it. The frontendSet alone
// calls it.
func (f *frontend) do(task func() error) error {
	result := make(chan error, 1)
	select {
	case f.tasks <- func() { result <- task() }:
	case <-f.done: // and a task has been left behind
	}
	_, _ = f.waker.SendBytes([]byte{0}, zmq4.DONTWAIT)
	select {
	case err := <-result:
		return err
	case <-f.done:
		return f.blame(errors.New("it has ended"))
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
