package stream

import (
	"fmt"
	"sync"
	"time"
)

// Accept is not called for a while after an error that may pass. The time doubles with each error
// in a row.
const (
	minBackOff = 5 * time.Millisecond
	maxBackOff = time.Second
)

// logInterval is the least time between two log lines about something that may happen very often.
const logInterval = time.Second

// serve accepts connections until v or the server ends.
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
	var logged time.Time // the last time an error was logged
	for s.awaitCapacity(v) {
		conn, err := v.listener.Accept()
		switch {
		case err == nil && conn != nil:
			backOff = 0
			s.arrive(v, conn)
		case s.isOver(v):
		case isTemporary(err):
			backOff = min(max(2*backOff, minBackOff), maxBackOff)
			if time.Since(logged) >= logInterval {
				logged = time.Now()
				s.logger().Warn("stream: cannot accept for now", "listener", v.listener.Addr(), "error", err)
			}
			if isExhaustion(err) && s.freeDescriptors() {
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

// begin adds v to the listeners.
func (s *Server) begin(v *serving) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.isStopping() {
		return ErrServerClosed
	}
	s.listeners[v] = struct{}{}
	if len(rejudgers(s.Authenticator)) > 0 {
		s.watch()
	}
	return nil
}

// end undoes begin. If v was to serve one client and none has been authenticated, it admits none
// from then on.
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

// isOver reports whether v must not accept any more clients.
func (s *Server) isOver(v *serving) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isOverLocked(v)
}

// isOverLocked is isOver for a caller that holds the mutex.
func (s *Server) isOverLocked(v *serving) bool { return s.isStopping() || v.over || v.taken != nil }

// awaitCapacity waits until there may be one more client. It returns false if v ends first.
func (s *Server) awaitCapacity(v *serving) bool {
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

// isFull reports whether MaxConns authenticated clients are connected. The caller holds the mutex.
func (s *Server) isFull() bool { return s.MaxConns > 0 && len(s.entered) >= s.MaxConns }

// pause waits for d. It returns early if v ends.
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
