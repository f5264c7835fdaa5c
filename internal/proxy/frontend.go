package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

// frontend is one bound socket before one service. While it runs, its goroutine owns all of its
// sockets except waker. The frontendSet, which owns waker, gives the goroutine tasks.
type frontend struct {
	spec      frontendSpec
	count     *fronts
	auth      *zmqauth.Authenticator
	zctx      *zmq4.Context
	log       *slog.Logger
	front     *zmq4.Socket // bound, for the clients
	back      *zmq4.Socket // connected to the service
	wakeup    *zmq4.Socket // wakes the goroutine
	waker     *zmq4.Socket // the peer of wakeup
	service   *service
	listener  *listener
	forwarder *forwarder

	awayReminder     reminder.Events // of the service
	awayLogged       bool            // the log's last word is that the service is away
	stalledReminder  reminder.Events // of the service
	reconnected      time.Time       // because it was
	shortageReminder reminder.Events // of connections that could not be accepted

	tasks chan func()
	done  chan struct{} // closed when the goroutine has ended
	err   error         // why it has ended; nil: its drain is over. Read it after done.
	left  Undelivered   // at its end. Read it after done.
}

// newFrontend makes a frontend that is connected to its service. It is neither bound nor running.
func newFrontend(auth *zmqauth.Authenticator, log *slog.Logger, counts *fronts,
	spec frontendSpec) (*frontend, error) {
	f := &frontend{
		spec:  spec,
		count: counts,
		auth:  auth,
		zctx:  auth.Context(),
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
	if f.service, err = watchService(f.zctx, f.back); err != nil {
		return err
	}
	limits := f.spec.limits()
	if f.spec.Front != nil {
		limits = nil // they are the front's
	}
	if err := f.auth.Guard(f.front, limits); err != nil {
		return err
	}
	set := func(endpoint string, events zmq4.Event) error {
		return f.auth.Monitor(f.front, endpoint, events)
	}
	if f.listener, err = newListener(f.zctx, f.front, set, f.spec.Name, f.count); err != nil {
		return err
	}
	endpoint := newInproc()
	if f.wakeup, err = f.zctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	if f.waker, err = f.zctx.NewSocket(zmq4.PAIR); err != nil {
		return err
	}
	f.forwarder, err = newForwarder(patterns[f.spec.Type], f.front, f.back, f.wakeup,
		f.service, f.listener)
	if err != nil {
		return err
	}
	return errors.Join(f.wakeup.SetLinger(0), f.waker.SetLinger(0),
		f.wakeup.Bind(endpoint), f.waker.Connect(endpoint), f.back.Connect(f.spec.Backend))
}

// locate adds the frontend's name, file and line to an error.
func (f *frontend) locate(err error) error {
	return locate(f.spec.Frontend, fmt.Errorf("frontend %q: %s", f.spec.Name, bareMessage(err)))
}

// discard closes the sockets of a frontend that does not run.
func (f *frontend) discard() {
	f.release()
	for _, socket := range []*zmq4.Socket{f.front, f.back, f.waker} {
		if socket != nil {
			_ = socket.Close()
		}
	}
}

// release frees what the frontend has besides the sockets that carry messages, which are open yet.
func (f *frontend) release() {
	if f.forwarder != nil {
		f.forwarder.pump.Free()
	}
	if f.listener != nil {
		endMonitor(f.listener.set, f.listener.events)
	}
	if f.service != nil {
		endMonitor(f.back.Monitor, f.service.events)
	}
	if f.wakeup != nil {
		_ = f.wakeup.Close()
	}
}

// bind binds the frontend's socket, which has its security role already.
func (f *frontend) bind() error {
	if err := f.listener.bind(f.auth, f.spec, f.log); err != nil {
		return f.locate(fmt.Errorf("bind %s: %w", f.spec.Bind, err))
	}
	f.log.Info("zmqauth: bound", "endpoint", f.listener.bound, "backend", f.spec.Backend,
		"type", f.spec.Type, "mechanism", f.spec.Mechanism, "domain", f.spec.Domain,
		"front", f.spec.Front != nil)
	return nil
}

// unbind frees the endpoint and waits until it is free.
func (f *frontend) unbind() error {
	if err := f.listener.unbind(f.remaining()); err != nil {
		return f.locate(err)
	}
	return nil
}

// remaining is the time until the drain's deadline.
func (f *frontend) remaining() time.Duration {
	return max(0, time.Until(f.forwarder.drain.deadline))
}

// run starts the goroutine, which calls ended before it is done: whoever waits for it knows what is
// left.
func (f *frontend) run(ended func(*frontend)) {
	go func() {
		defer close(f.done)
		defer ended(f)
		err := f.forwarder.run(tasks{f.work, f.serviceStalled, f.serviceChanged, f.listenerTold})
		if err != nil {
			f.err = f.locate(err)
		}
		f.close()
	}()
}

// close frees the endpoint, counts what is left, and closes the sockets. Only if the drain has been
// cut short libzmq goes on sending what it holds until the drain's deadline.
func (f *frontend) close() {
	f.left = f.forwarder.undelivered() // before libzmq drops any of it
	if err := f.unbind(); err != nil {
		f.log.Warn("zmqauth: a frontend that ends", "error", err)
	}
	f.left.Messages += f.untaken()
	f.release()
	linger := f.remaining()
	for _, socket := range []*zmq4.Socket{f.front, f.back} {
		_ = socket.SetLinger(linger)
		_ = socket.Close()
	}
	f.listener.finish(linger)
	if f.left != (Undelivered{}) {
		f.log.Warn(MessageLost, "messages", f.left.Messages, "unanswered", f.left.Unanswered)
		return
	}
	f.log.Info(MessageEnded)
}

// untaken counts the messages that libzmq has received from clients and that stayed there.
func (f *frontend) untaken() uint64 {
	if f.forwarder.subscriptions {
		return 0
	}
	count, err := f.forwarder.pump.Discard()
	if err != nil {
		f.log.Warn("zmqauth: a frontend that ends cannot count the messages that are left",
			"error", err)
	}
	return count + f.forwarder.pump.Up().Broken
}

// work runs the task that do has left, if there is one.
func (f *frontend) work() {
	select {
	case task := <-f.tasks:
		task()
	default:
	}
}

// serviceChanged follows the connection to the service.
func (f *frontend) serviceChanged() {
	now := time.Now()
	before := f.service.ready
	f.service.update(now)
	switch pump := f.forwarder.pump; {
	case before && !f.service.ready:
		var unanswered uint64
		if f.forwarder.replies {
			unanswered = f.forwarder.owed.giveUp(pump.Up(), pump.Down())
		}
		if count, due := f.awayReminder.Due(now); due {
			f.log.Warn(MessageAway, "backend", f.spec.Backend, "unanswered", unanswered,
				"times", count)
			f.awayLogged = true
		}
	case !before && f.service.ready && f.awayLogged:
		f.awayLogged = false
		f.log.Info(MessageBack, "backend", f.spec.Backend)
	}
}

// reconnectInterval is the time between two new connections to a service that takes nothing.
const reconnectInterval = time.Second

// serviceStalled connects the service again, which drops the subscriptions that it has not taken.
func (f *frontend) serviceStalled() {
	now := time.Now()
	if now.Sub(f.reconnected) < reconnectInterval {
		time.Sleep(openInterval) // libzmq is about to drop them
		return
	}
	f.reconnected = now
	if count, due := f.stalledReminder.Due(now); due {
		f.log.Warn(MessageStalled, "backend", f.spec.Backend, "times", count)
	}
	err := errors.Join(f.back.Disconnect(f.spec.Backend), f.back.Connect(f.spec.Backend))
	if err != nil {
		f.log.Error("zmqauth: connecting to a service again", "error", err)
	}
}

// listenerTold logs the connections that could not be accepted.
func (f *frontend) listenerTold() {
	failed, reason := f.listener.update()
	if failed == 0 {
		return
	}
	if count, due := f.shortageReminder.Due(time.Now()); due {
		f.log.Error(MessageShortage, "endpoint", f.listener.bound, "times", count,
			"error", reason)
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

// adopt puts the limits of a spec in force, and the settings of its front. It returns nil where
// they are in force already.
func (f *frontend) adopt(spec frontendSpec) error {
	if reflect.DeepEqual(f.spec.Limits, spec.Limits) &&
		reflect.DeepEqual(f.spec.Front, spec.Front) {
		return nil
	}
	return f.do(func() (err error) {
		f.spec.Limits, f.spec.Front = spec.Limits, spec.Front
		if f.spec.Front == nil {
			err = f.auth.SetLimits(f.front, spec.limits())
		} else if f.listener.before != nil {
			err = f.listener.before.Reconfigure(f.spec.frontConfig(f.log))
		}
		if err != nil {
			return f.locate(err)
		}
		f.log.Info(MessageLimits, "limits", spec.Limits.String(), "front", spec.Front.String())
		return nil
	})
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
