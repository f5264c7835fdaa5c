package front

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/relay"
	"github.com/zmqauth/zmqauth/internal/session"
)

// engine is what a Front runs: loops that accept clients and pass bytes on.
type engine struct {
	a      *zmqauth.Authenticator
	rules  atomic.Pointer[settings]
	socket *relay.Socket
	gate   *session.Gate
	public *listener
	fence  *fence
	loops  []*loop
	shed   *shed // nil: see newShed
	*refusals

	drained chan struct{} // closed: nobody is accepted, and no connection is open
	ended   chan struct{} // closed: the loops have ended, too

	connected, accepted, relayed, received, sent atomic.Int64

	mu        sync.Mutex
	accepting bool
	closeOnce sync.Once
	closeErr  error
}

func newEngine(a *zmqauth.Authenticator, s *zmq4.Socket, text string, cfg Config) (*engine, error) {
	e := &engine{a: a, drained: make(chan struct{}), ended: make(chan struct{}), accepting: true}
	e.rules.Store(cfg.settings())
	var err error
	if e.socket, err = a.Relay(s); err != nil {
		return nil, err
	}
	if err := e.bindPrivate(s); err != nil {
		return nil, err
	}
	err = e.open(text, &cfg)
	if err != nil {
		err = errors.Join(err, e.fence.shut())
	}
	go e.awaitSocket(err == nil)
	return e, err
}

// bindPrivate binds the socket behind a fence.
func (e *engine) bindPrivate(s *zmq4.Socket) error {
	fence, fd, err := newFence()
	if err != nil {
		return err
	}
	if err := libzmq.BindDescriptor(s, "tcp://"+fence.at.String(), fd); err != nil {
		_ = unix.Close(fd)
		fence.close()
		return fmt.Errorf("the socket's private endpoint: %w", err)
	}
	e.fence = fence
	return nil
}

// awaitSocket ends what is left when the socket is closed. What libzmq has written before reaches
// the clients: its ends of all connections are closed, so that each has endTime at most. The fence
// stands for as long as libzmq may listen behind it.
func (e *engine) awaitSocket(started bool) {
	<-e.socket.Done
	if started {
		_ = e.stopAccepting()
		for _, l := range e.loops {
			l.do(l.leaveUnserved)
		}
		<-e.drained
		_ = e.close()
	}
	e.fence.close()
}

// reconfigure puts a Config in force that was checked.
func (e *engine) reconfigure(cfg *Config) {
	e.rules.Store(cfg.settings())
	e.shed.lift() // which may drop a new balancer
	e.gate.SetLimits((*session.Limits)(cfg.Limits))
}

// open listens, in the place of an old Front if there is one, and starts.
func (e *engine) open(text string, cfg *Config) (err error) {
	old := cfg.Replace
	if old == nil {
		e.public, err = listen(text, cfg)
	} else {
		old.engine.mu.Lock()
		defer old.engine.mu.Unlock()
		e.public, err = old.engine.lend(text)
	}
	if err != nil {
		return err
	}
	e.refusals = newRefusals(cfg.Logger, e.public.text)
	e.gate = session.NewGate((*session.Limits)(cfg.Limits))
	e.shed = newShed(e)
	if err := e.start(); err != nil {
		return errors.Join(err, e.public.close())
	}
	if old != nil {
		e.public.takeFile(old.engine.public)
		old.engine.accepting = false
		old.engine.shed.stop() // both have one socket, which has one filter
		go func() {
			_ = old.engine.endListening()
			for _, l := range e.loops {
				l.post(l.lookAgain)
			}
		}()
	}
	e.shed.start()
	return nil
}

// lend is another listener of the same clients. The caller holds e.mu.
func (e *engine) lend(text string) (*listener, error) {
	if !e.accepting {
		return nil, ErrClosed
	}
	return e.public.duplicate(text)
}

// maxLoops is how many loops there are at most. One moves some gigabytes a second.
const maxLoops = 4

func (e *engine) start() error {
	count := min(maxLoops, max(1, runtime.GOMAXPROCS(0)/2))
	for range count {
		l, err := newLoop(e)
		if err != nil {
			for _, l := range e.loops {
				l.free()
			}
			return err
		}
		e.loops = append(e.loops, l)
	}
	var running sync.WaitGroup
	for _, l := range e.loops {
		running.Go(l.run)
	}
	go func() {
		running.Wait()
		close(e.ended)
	}()
	return nil
}

func (e *engine) endpoint() string { return e.public.text }

func (e *engine) stats() Stats {
	s := Stats{Open: uint64(e.connected.Load()), Accepted: uint64(e.accepted.Load()),
		Relayed: uint64(e.relayed.Load()), Received: uint64(e.received.Load()),
		Sent: uint64(e.sent.Load())}
	s.Refused, s.Reasons = e.refusals.counts()
	s.Dropped = e.shed.drops()
	return s
}

// stopAccepting ends the listener.
func (e *engine) stopAccepting() error {
	e.mu.Lock()
	was := e.accepting
	e.accepting = false
	e.mu.Unlock()
	if !was {
		return nil
	}
	return e.endListening()
}

// endListening has the loops forget the listener, and closes it. Only its first caller has found
// the engine accepting.
func (e *engine) endListening() error {
	for _, l := range e.loops {
		l.do(l.forgetListener)
	}
	e.shed.stop()
	err := e.public.close()
	e.checkDrained()
	return err
}

// checkDrained closes drained once nothing is left.
func (e *engine) checkDrained() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.accepting && e.connected.Load() == 0 {
		select {
		case <-e.drained:
		default:
			close(e.drained)
		}
	}
}

func (e *engine) close() error {
	e.closeOnce.Do(func() {
		err := e.stopAccepting()
		for _, l := range e.loops {
			l.do(l.end)
		}
		<-e.ended
		for _, l := range e.loops {
			l.free()
		}
		e.closeErr = errors.Join(err, e.fence.shut())
	})
	return e.closeErr
}
