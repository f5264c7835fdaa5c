package stream

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"
)

// session is one client of a Server, from Accept to the end of the connection.
type session struct {
	serving  *serving
	raw      net.Conn
	network  netip.Prefix
	accepted time.Time

	begun     time.Time       // when the handshake began
	handshake context.Context // ends when the handshake must end
	cancel    context.CancelCauseFunc
	free      func() // frees the context

	proofs []*proof // must be read after the handshake
	fault  error    // why it was not handled, or why the Handler did not return
	// Guarded by the server's mutex.
	state  state
	spoken bool // the last result of hasSpoken
	// In the backlog:
	crowd        *crowd
	waits, quiet *list.Element // in the lists of the crowd, and of all silent ones
	// Once it is authenticated:
	id          uint64
	since       time.Time
	credentials any
	handling    context.Context // of the Handler
	end         context.CancelCauseFunc
	isEnding    bool // endSession has been called
}

// state is the phase of a session.
type state int

const (
	waiting   state = iota // in the backlog
	pending                // in the handshake
	abandoned              // given up, but its Authenticator has not returned
	entered                // authenticated, waiting for its turn
	handled                // in the Handler
	over
)

// hasSpoken reports whether the client has sent anything, as far as the system can tell. The caller
// holds the server's mutex.
func (c *session) hasSpoken() bool {
	c.spoken = c.spoken || received(c.raw, c.state == waiting)
	return c.spoken
}

var errTaken = errors.New("another client was first, and there is only to be one")

// start begins a client's handshake. The caller holds the mutex.
func (s *Server) start(c *session) {
	c.state, c.begun = pending, time.Now()
	ctx, cancel := context.WithCancelCause(s.base)
	ctx, cancelTimer := context.WithDeadlineCause(ctx, c.begun.Add(s.handshakeTimeout()), errTimeout)
	c.handshake, c.cancel = ctx, cancel
	stop := context.AfterFunc(ctx, func() { s.handshakeEnded(c) })
	c.free = func() {
		stop()
		cancelTimer()
		cancel(nil)
	}
	s.pending.add(c)
	s.waiting.setHandshakes(c.network, s.pending.of(c.network))
	go s.run(c)
}

// abandon gives up a handshake. Its slot is free at once, and its context ends, which closes the
// connection. The caller holds the mutex.
func (s *Server) abandon(c *session, why error) {
	if c.state != pending {
		return
	}
	s.endPending(c)
	c.state = abandoned
	s.abandoned++
	c.cancel(why)
	s.notify()
}

// endPending frees the slot of a handshake. The caller holds the mutex.
func (s *Server) endPending(c *session) {
	s.pending.remove(c)
	s.waiting.setHandshakes(c.network, s.pending.of(c.network))
}

// abandonOthers abandons all handshakes of v and drops its waiting clients. The caller holds the
// mutex.
func (s *Server) abandonOthers(v *serving) {
	s.dropAll(v, errTaken)
	for _, c := range s.pending.all() {
		if c.serving == v {
			s.abandon(c, errTaken)
		}
	}
}

// handshakeEnded is called when the context of a handshake has ended.
func (s *Server) handshakeEnded(c *session) {
	s.mu.Lock()
	s.abandon(c, context.Cause(c.handshake))
	given := c.state == abandoned
	s.mu.Unlock()
	if given { // else it was authenticated at the last moment
		_ = c.raw.Close()
	}
}

// run is the goroutine of a client.
func (s *Server) run(c *session) {
	defer s.leave(c)
	defer c.raw.Close()
	defer func() { // a connection that an Authenticator made may panic
		if fault := recover(); fault != nil {
			c.fault = fmt.Errorf("stream: a connection panicked: %v", fault)
			s.logPanic(c, "a connection", fault)
		}
	}()
	conn, credentials, err := s.authenticate(c)
	if err == nil {
		err = s.enter(c, credentials)
	}
	if err != nil {
		s.refuse(c, conn, err)
		return
	}
	c.free()
	defer conn.Close()
	if c.serving.one {
		_ = c.serving.close() // nobody else will be served
	}
	// The Handler must not inherit a deadline of the Authenticator. An error means that the connection
	// is closed or never has a deadline.
	_ = conn.SetDeadline(time.Time{})
	_ = c.raw.SetDeadline(time.Time{})
	if err := s.awaitTurn(c); err != nil {
		c.fault = err
		s.logRefused(c, err)
		return
	}
	s.logger().Debug("stream: a client is let in", "remote", c.raw.RemoteAddr())
	s.handle(c, conn, credentials)
}

// authenticate calls the Authenticator. A panic is a refusal.
func (s *Server) authenticate(c *session) (conn net.Conn, credentials any, err error) {
	if s.Authenticator == AllowAny {
		return c.raw, nil, nil
	}
	defer func() {
		if fault := recover(); fault != nil {
			s.logPanic(c, "the Authenticator", fault)
			conn, credentials, err = nil, nil, errors.New("the Authenticator panicked")
		}
	}()
	ctx := context.WithValue(c.handshake, proofsKey{}, &c.proofs)
	return authenticate(ctx, s.Authenticator, c.raw)
}

func (s *Server) logPanic(c *session, whose string, fault any) {
	s.logger().Error("stream: "+whose+" panicked",
		"remote", c.raw.RemoteAddr(), "panic", fault, "stack", string(debug.Stack()))
}

// enter makes c an authenticated client, unless it was abandoned in the meantime.
func (s *Server) enter(c *session, credentials any) error {
	v := c.serving
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != pending {
		return context.Cause(c.handshake)
	}
	s.endPending(c)
	c.state = entered
	s.sessions++
	c.id, c.since, c.credentials = s.sessions, time.Now(), credentials
	c.handling, c.end = context.WithCancelCause(s.base)
	s.entered[c] = struct{}{}
	if len(c.proofs) > 0 {
		s.watch()
	}
	if v.one {
		v.taken = c
		s.abandonOthers(v)
	}
	s.notify()
	return nil
}

// awaitTurn waits until MaxConns allows another client in the Handler.
func (s *Server) awaitTurn(c *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.MaxConns > 0 && s.handling >= s.MaxConns && !s.isStopping() && !c.isEnding {
		s.await(0)
	}
	if c.isEnding {
		return context.Cause(c.handling)
	}
	if s.isStopping() {
		return ErrServerClosed
	}
	c.state = handled
	s.handling++
	return nil
}

// handle calls the Handler.
func (s *Server) handle(c *session, conn net.Conn, credentials any) {
	defer func() {
		if fault := recover(); fault != nil {
			c.fault = fmt.Errorf("stream: the Handler panicked: %v", fault)
			s.logPanic(c, "the Handler", fault)
		}
	}()
	s.Handler(c.handling, conn, credentials)
}

// leave removes a client from the server. Its connection is closed by then.
func (s *Server) leave(c *session) {
	c.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.end != nil {
		c.end(nil)
	}
	switch c.state {
	case pending:
		s.endPending(c)
	case abandoned:
		s.abandoned--
	case handled:
		s.handling--
	}
	delete(s.entered, c)
	c.state = over
	if v := c.serving; v.taken == c {
		v.fault = c.fault
		close(v.ended)
	}
	s.notify()
}

// refuse closes a connection that was not authenticated, and also conn, which may wrap it or be
// nil.
func (s *Server) refuse(c *session, conn net.Conn, why error) {
	given := c.handshake.Err() != nil
	if given {
		why = context.Cause(c.handshake)
	}
	s.logRefused(c, why)
	if !given {
		lingeringClose(conn, c.raw)
	}
	_ = c.raw.Close() // first, so that nothing waits for the peer
	if conn != nil && conn != c.raw {
		_ = conn.Close()
	}
}

func (s *Server) logRefused(c *session, why error) {
	level := slog.LevelInfo
	switch why {
	case ErrServerClosed: // not the client's doing
		level = slog.LevelDebug
	case errEvicted: // a flood must not fill the log
		level = slog.LevelDebug
		s.logEvicted()
	}
	s.logger().Log(context.Background(), level, "stream: a client is not let in",
		"remote", c.raw.RemoteAddr(), "error", refusal(why))
}

// logEvicted logs how many clients were evicted or dropped, at most once per logInterval.
func (s *Server) logEvicted() {
	s.mu.Lock()
	s.evicted++
	n, due := s.evicted, time.Since(s.evictedLogged) >= logInterval
	if due {
		s.evicted, s.evictedLogged = 0, time.Now()
	}
	s.mu.Unlock()
	if due {
		s.logger().Warn("stream: too many handshakes at once, some are closed in favour of newer ones",
			"closed", n)
	}
}
