package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// ErrServerClosed is what Serve, ListenAndServe and ServeOne return after Shutdown or Close.
var ErrServerClosed = errors.New("stream: server closed")

const (
	// DefaultHandshakeTimeout is what a HandshakeTimeout of 0 means.
	DefaultHandshakeTimeout = 10 * time.Second
	// DefaultMaxHandshakes is what MaxHandshakes of 0 means.
	DefaultMaxHandshakes = 128
)

// A Server accepts connections, has each authenticated in a goroutine of its own, and hands those
// that were to the Handler. The fields must not be changed, nor the struct copied, once it serves.
//
// A client in its handshake takes one of MaxHandshakes places, for HandshakeTimeout at most. Eight
// times as many connections may wait for a place. Those that have sent something go first, and of
// these those of the address with the fewest handshakes; one that is silent waits for a 200th of
// HandshakeTimeout (50 ms) unless more than half of the places are free. Where all are taken, the
// next one gets the place of another: of the address with the most handshakes (of an IPv6 network
// of 64 bits), and there of the oldest that is silent, or else the oldest. A handshake is safe from
// that for a 20th of HandshakeTimeout (0.5 s), or for a 200th if its client has sent nothing yet
// and no address has more. So a crowd of silent clients keeps nobody waiting, and a crowd of honest
// ones that comes at once is let in one after another.
type Server struct {
	// Authenticator proves who a client is; nil: everybody is let in, with nil credentials.
	Authenticator Authenticator
	// Handler serves one client. When it returns the connection is closed. ctx ends with that, and at
	// once with Close. A panic is logged and ends this connection only. The connection has no
	// deadline.
	Handler func(ctx context.Context, conn net.Conn, credentials any)
	// HandshakeTimeout is the time that the Authenticator has for one client; 0:
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many may go on at once; 0: DefaultMaxHandshakes. An Authenticator that does
	// not return although its connection is closed no longer counts, but when as many again are of
	// that kind nobody is accepted until one returns.
	MaxHandshakes int
	// MaxConns is how many authenticated clients are handled at once; 0: no limit. Beyond it clients
	// wait to be accepted. An authenticated one that idles keeps its place: Handler alone knows what
	// is too long.
	MaxConns int
	// Logger is told of refusals (Info), of panics (Error), of accept errors and of too many
	// handshakes (Warn, at most once a second), and of clients that are let in (Debug); nil:
	// slog.Default().
	Logger *slog.Logger

	mu        sync.Mutex
	base      context.Context // ends with Close; nil before the first use
	cancel    context.CancelFunc
	stopping  chan struct{} // closed by Shutdown and Close
	drained   chan struct{} // closed when nothing goes on any more, after stopping
	listeners map[*serving]struct{}
	waiting   []*session            // for a place, in the order in which they came
	ushering  bool                  // a goroutine finds places for them
	dropping  int                   // of them, those being closed
	pending   handshakes            // that were not given up
	entered   map[*session]struct{} // authenticated
	handling  int                   // of entered, those in the Handler
	abandoned int                   // given up, while their Authenticator has not returned
	changed   chan struct{}         // closed at the next change of these; nil: nobody waits

	crowded     int // closed in favour of others since that was logged
	saidCrowded time.Time
}

// serving is one listener that is served.
type serving struct {
	listener net.Listener
	close    func() error // once

	one   bool          // ends with the first client that is authenticated
	taken *session      // that client
	over  bool          // none is to be taken any more
	ended chan struct{} // closed when the Handler of taken has returned, or has panicked, which is its fault
	fault error
}

// Serve accepts connections on l until Shutdown or Close, then returns ErrServerClosed. Accept
// errors that may pass, such as too many open files, are logged and survived. Where the
// configuration lets nobody in, as an Authenticator whose Check is an error, Serve says so before
// it accepts. l is closed in any case. Serve may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(&serving{listener: l})
}

// ServeOne accepts connections on l until one client has been authenticated, closes l, and serves
// this one alone. It returns nil when the Handler has returned; an error that tells of its panic;
// ErrServerClosed if that came before it; or as Serve does.
func (s *Server) ServeOne(l net.Listener) error {
	v := &serving{listener: l, one: true, ended: make(chan struct{})}
	err := s.serve(v)
	s.mu.Lock()
	taken := v.taken != nil
	s.mu.Unlock()
	if !taken {
		return err
	}
	<-v.ended
	return v.fault // which is written before ended is closed
}

// ListenAndServe listens on address ("tcp" with host:port, or "unix" with a path) and serves as
// Serve does. A Unix socket that a server has left behind without listening any more is replaced.
func (s *Server) ListenAndServe(network, address string) error {
	if err := s.check(); err != nil {
		return err
	}
	s.mu.Lock()
	s.init()
	stopping := s.isStopping()
	s.mu.Unlock()
	if stopping {
		return ErrServerClosed
	}
	l, err := listen(s.base, network, address, 0)
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// check is an error where the fields cannot be meant.
func (s *Server) check() error {
	switch {
	case s.Handler == nil:
		return errors.New("stream: Server without a Handler")
	case s.HandshakeTimeout < 0 || s.MaxHandshakes < 0 || s.MaxConns < 0:
		return fmt.Errorf("stream: Server with a negative limit: HandshakeTimeout %v, MaxHandshakes %d, MaxConns %d",
			s.HandshakeTimeout, s.MaxHandshakes, s.MaxConns)
	case s.Authenticator == nil:
		return nil
	}
	return check(s.Authenticator)
}

// init makes what the zero value lacks. The caller holds the mutex.
func (s *Server) init() {
	if s.base != nil {
		return
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.stopping, s.drained = make(chan struct{}), make(chan struct{})
	s.listeners = make(map[*serving]struct{})
	s.entered = make(map[*session]struct{})
}

// isStopping tells whether Shutdown or Close has been called. The caller holds the mutex.
func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// Shutdown closes the listeners and ends the handshakes, then waits until every Handler has
// returned, and every Authenticator, and returns nil; or until ctx ends, and returns its error,
// while the Handlers go on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop(false)
	select {
	case <-s.drained:
		return nil
	default:
	}
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the listeners and all connections at once, and ends the context of every Handler. It
// does not wait for them to return; Shutdown does, also after Close.
func (s *Server) Close() error {
	s.stop(true)
	return nil
}

// stop ends what Shutdown ends, or also what Close ends. The listeners come first.
func (s *Server) stop(all bool) {
	s.mu.Lock()
	s.init()
	if !s.isStopping() {
		close(s.stopping)
	}
	listeners := slices.Collect(maps.Keys(s.listeners))
	s.mu.Unlock()
	for _, v := range listeners {
		_ = v.close()
	}
	var conns []net.Conn
	s.mu.Lock()
	for _, c := range s.waiting {
		conns = append(conns, c.raw)
	}
	s.waiting = nil
	for _, c := range s.pending.all() {
		s.abandon(c, ErrServerClosed)
		conns = append(conns, c.raw)
	}
	for c := range s.entered {
		if all || c.state == entered { // for which there was no place, and will be none
			conns = append(conns, c.raw)
		}
	}
	if all {
		s.cancel()
	}
	s.notify()
	s.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// notify wakes those who wait for a change, and tells when nothing goes on any more. The caller
// holds the mutex.
func (s *Server) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	if s.isStopping() && !s.ushering && len(s.listeners)+s.dropping+s.pending.count+len(s.entered)+s.abandoned == 0 {
		select {
		case <-s.drained:
		default:
			close(s.drained)
		}
	}
}

// await gives up the mutex until there is a change, or d has passed if it is not 0, and takes it
// again.
func (s *Server) await(d time.Duration) {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	if d == 0 {
		<-changed
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func (s *Server) handshakeTimeout() time.Duration {
	if s.HandshakeTimeout == 0 {
		return DefaultHandshakeTimeout
	}
	return s.HandshakeTimeout
}

func (s *Server) maxHandshakes() int {
	if s.MaxHandshakes == 0 {
		return DefaultMaxHandshakes
	}
	return s.MaxHandshakes
}

func (s *Server) logger() *slog.Logger { return loggerOr(s.Logger) }
