package stream

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// How long Accept is left alone after errors in a row that may pass.
const (
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
)

// sayInterval is how often what may happen very often is logged.
const sayInterval = time.Second

// serve accepts connections until v is to end.
func (s *Server) serve(v *serving) error {
	v.close = sync.OnceValue(v.listener.Close)
	defer v.close()
	if err := s.check(); err != nil {
		return err
	}
	if err := s.begin(v); err != nil {
		return err
	}
	defer s.end(v)
	var backOff time.Duration
	var said time.Time // when an error was logged last
	for s.awaitPlace(v) {
		conn, err := v.listener.Accept()
		switch {
		case err == nil && conn != nil:
			backOff = 0
			s.arrive(v, conn)
		case s.isOver(v):
		case isTemporary(err):
			backOff = min(max(2*backOff, minBackOff), maxBackOff)
			if time.Since(said) >= sayInterval {
				said = time.Now()
				s.logger().Warn("stream: cannot accept for now", "listener", v.listener.Addr(), "error", err)
			}
			if isExhaustion(err) && s.relieve() {
				backOff = minBackOff
			}
			s.pause(v, backOff)
		default:
			return fmt.Errorf("stream: accept on %v: %w", v.listener.Addr(), err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.taken != nil {
		return nil
	}
	return ErrServerClosed
}

// begin counts v among the listeners.
func (s *Server) begin(v *serving) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.isStopping() {
		return ErrServerClosed
	}
	s.listeners[v] = struct{}{}
	return nil
}

// end undoes begin. Where one client only was to be served and none has come, none will be any
// more.
func (s *Server) end(v *serving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, v)
	if v.one && v.taken == nil {
		v.over = true
		s.abandonOthers(v)
	}
	s.notify()
}

// isOver tells whether v has nobody to accept any more.
func (s *Server) isOver(v *serving) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isOverLocked(v)
}

func (s *Server) isOverLocked(v *serving) bool { return s.isStopping() || v.over || v.taken != nil }

// awaitPlace waits until there may be one more client, and is false when there is to be none any
// more.
func (s *Server) awaitPlace(v *serving) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.isOverLocked(v) {
		if !s.isFull() {
			return true
		}
		s.await(0)
	}
	return false
}

// isFull tells whether there are as many authenticated clients as there may be. The caller holds
// the mutex.
func (s *Server) isFull() bool { return s.MaxConns > 0 && len(s.entered) >= s.MaxConns }

// pause waits, unless v ends.
func (s *Server) pause(v *serving, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for again := time.Now().Add(d); !s.isOverLocked(v); {
		left := time.Until(again)
		if left <= 0 {
			return
		}
		s.await(left)
	}
}

// isExhaustion tells whether an error of Accept means that the process or the system has run out of
// something.
func isExhaustion(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && isExhausted(errno)
}

// isTemporary tells whether an error of Accept says nothing about the listener, but about one
// client or about the system's state. A deadline that someone has set on the listener is meant to
// end it.
func isTemporary(err error) bool {
	if isExhaustion(err) {
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return isClients(errno)
	}
	temporary, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && temporary.Temporary()
}
