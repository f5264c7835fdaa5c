package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"
)

// session is one client of a Server, from Accept on.
type session struct {
	serving  *serving
	raw      net.Conn
	network  netip.Prefix
	accepted time.Time

	begun     time.Time       // its handshake
	handshake context.Context // ends with its time
	cancel    context.CancelCauseFunc
	free      func() // frees the context

	fault error // why it was not handled, or not to the end
	// Guarded by the server's mutex.
	state  state
	spoken bool // as hasSpoken has last found
}

// state is where a session has got to.
type state int

const (
	waiting   state = iota // for a place
	pending                // in its handshake
	abandoned              // given up, before its Authenticator has returned
	entered                // authenticated, waiting for a place
	handled                // in the Handler
	over
)

// hasSpoken tells whether the client has sent anything, as far as that can be known. The caller
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
	stop := context.AfterFunc(ctx, func() { s.giveUp(c) })
	c.free = func() {
		stop()
		cancelTimer()
		cancel(nil)
	}
	s.pending.add(c)
	go s.run(c)
}

// abandon gives up a handshake: its place is free, and its context ends, so that its connection is
// closed. The caller holds the mutex.
func (s *Server) abandon(c *session, why error) {
	if c.state != pending {
		return
	}
	s.pending.remove(c)
	c.state = abandoned
	s.abandoned++
	c.cancel(why)
	s.notify()
}

// abandonOthers gives up every handshake of v's, and closes those that wait for theirs. The caller
// holds the mutex.
func (s *Server) abandonOthers(v *serving) {
	s.dropWaiting(v, errTaken)
	for _, c := range s.pending.all() {
		if c.serving == v {
			s.abandon(c, errTaken)
		}
	}
}

// giveUp is called when the context of a handshake has ended.
func (s *Server) giveUp(c *session) {
	s.mu.Lock()
	s.abandon(c, context.Cause(c.handshake))
	given := c.state == abandoned
	s.mu.Unlock()
	if given { // and not authenticated at the last moment
		_ = c.raw.Close()
	}
}

// run is the goroutine of a client's.
func (s *Server) run(c *session) {
	defer s.leave(c)
	defer c.raw.Close() // whatever becomes of it
	defer func() {      // of a connection that an Authenticator has made
		if fault := recover(); fault != nil {
			c.fault = fmt.Errorf("stream: a connection panicked: %v", fault)
			s.logPanic(c, "a connection", fault)
		}
	}()
	conn, credentials, err := s.authenticate(c)
	if err == nil {
		err = s.enter(c)
	}
	if err != nil {
		s.refuse(c, conn, err)
		return
	}
	c.free()
	defer conn.Close()
	if c.serving.one {
		_ = c.serving.close() // nobody else is to come
	}
	// What the Authenticator may have set is not for the Handler. Errors: a connection that is closed,
	// or never has a deadline.
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

// authenticate asks the Authenticator.
func (s *Server) authenticate(c *session) (conn net.Conn, credentials any, err error) {
	if s.Authenticator == nil {
		return c.raw, nil, nil
	}
	defer func() {
		if fault := recover(); fault != nil {
			s.logPanic(c, "the Authenticator", fault)
			conn, credentials, err = nil, nil, errors.New("the Authenticator panicked")
		}
	}()
	return authenticate(c.handshake, s.Authenticator, c.raw)
}

func (s *Server) logPanic(c *session, whose string, fault any) {
	s.logger().Error("stream: "+whose+" panicked", "remote", c.raw.RemoteAddr(), "panic", fault, "stack", string(debug.Stack()))
}

// enter makes an authenticated client of c, unless it was given up in the meantime.
func (s *Server) enter(c *session) error {
	v := c.serving
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != pending {
		return context.Cause(c.handshake)
	}
	s.pending.remove(c)
	c.state = entered
	s.entered[c] = struct{}{}
	if v.one {
		v.taken = c
		s.abandonOthers(v)
	}
	s.notify()
	return nil
}

// awaitTurn waits for a place in the Handler.
func (s *Server) awaitTurn(c *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.MaxConns > 0 && s.handling >= s.MaxConns && !s.isStopping() {
		s.await(0)
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
	ctx, cancel := context.WithCancel(s.base)
	defer cancel()
	defer func() {
		if fault := recover(); fault != nil {
			c.fault = fmt.Errorf("stream: the Handler panicked: %v", fault)
			s.logPanic(c, "the Handler", fault)
		}
	}()
	s.Handler(ctx, conn, credentials)
}

// leave forgets a client, whose connection is closed by now.
func (s *Server) leave(c *session) {
	c.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.state {
	case pending:
		s.pending.remove(c)
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

// refuse closes a connection that was not authenticated, and conn, which may wrap it or be nil.
func (s *Server) refuse(c *session, conn net.Conn, why error) {
	given := c.handshake.Err() != nil
	if given {
		why = context.Cause(c.handshake)
	}
	s.logRefused(c, why)
	if !given {
		sayLast(conn, c.raw)
	}
	_ = c.raw.Close() // first, so that nothing waits for the peer
	if conn != nil && conn != c.raw {
		_ = conn.Close()
	}
}

func (s *Server) logRefused(c *session, why error) {
	level := slog.LevelInfo
	switch why {
	case ErrServerClosed: // which is nothing that the client has done
		level = slog.LevelDebug
	case errCrowded: // by a flood, of which the log is not to be full
		level = slog.LevelDebug
		s.logCrowded()
	}
	s.logger().Log(context.Background(), level, "stream: a client is not let in", "remote", c.raw.RemoteAddr(), "error", refusal(why))
}

// logCrowded tells how many have been closed in favour of others, at most once in a while.
func (s *Server) logCrowded() {
	s.mu.Lock()
	s.crowded++
	n, due := s.crowded, time.Since(s.saidCrowded) >= sayInterval
	if due {
		s.crowded, s.saidCrowded = 0, time.Now()
	}
	s.mu.Unlock()
	if due {
		s.logger().Warn("stream: too many handshakes at once, some are closed in favour of newer ones", "closed", n)
	}
}

// lastWords is how long a refused client has to close the connection itself.
const lastWords = 500 * time.Millisecond

// sayLast lets a refused client read why. Were its connection closed while bytes from it are
// unread, TCP would drop what it has not read yet, such as TLS's alert: so the connection is closed
// for writing, and read until the client closes it, or for a short while.
func sayLast(conn, raw net.Conn) {
	closer, ok := raw.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	if raw.SetDeadline(time.Now().Add(lastWords)) != nil {
		return
	}
	if wrapper, ok := conn.(interface{ CloseWrite() error }); ok && conn != raw {
		_ = wrapper.CloseWrite()
	}
	if closer.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, raw)
	}
}
