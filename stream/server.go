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
	// DefaultHandshakeTimeout is the HandshakeTimeout of a Server whose field is 0.
	DefaultHandshakeTimeout = 10 * time.Second
	// DefaultMaxHandshakes is the MaxHandshakes of a Server whose field is 0.
	DefaultMaxHandshakes = 128
)

// A Server accepts connections, authenticates each in a goroutine of its own, and passes the
// authenticated ones to the Handler. Once it serves, the fields must not be changed and the struct
// must not be copied.
//
// # Admission
//
// A handshake occupies one of MaxHandshakes slots, for HandshakeTimeout at most. The backlog of
// clients that wait for a slot has 32 times as many entries, and 1,024 at least. Clients that have
// sent something are admitted first; among these, the address with the fewest handshakes goes
// first. A silent client waits for a 200th of HandshakeTimeout (50 ms by default), unless more
// than half of the slots are free. An IPv6 network of 64 bits counts as one address.
//
// If all slots are taken, the next client evicts a handshake: one of the address with the most
// handshakes, and there the oldest silent one, or else the oldest. A handshake is protected from
// that for a 20th of HandshakeTimeout (0.5 s), but only for a 200th of it from a client whose
// address has fewer handshakes even with this one. If its client has sent nothing yet and no
// address has more handshakes, it is protected for a 200th, too.
//
// If the backlog is full, the oldest client of the address that has most in it, whether it has
// sent something or not, makes room for one of an address that has fewer. A client of an address
// that has most in it is closed, unless one of that address has been silent for too long. What
// admission costs does not grow with the number of clients that wait.
//
// So a crowd of silent or slow clients delays nobody from another address, and a crowd of honest
// clients that arrives at once is admitted one after another. But each address has its turn: slow
// clients from thousands of addresses delay an honest one by as many 20ths of HandshakeTimeout as
// MaxHandshakes goes into their number.
type Server struct {
	// Authenticator proves who a client is; nil: an error. [AllowAny] lets everybody in.
	Authenticator Authenticator
	// Handler serves one client. The connection has no deadline, and is closed when Handler returns.
	// ctx ends at that moment too, and at once with Close. A panic is logged and ends this connection
	// only.
	Handler func(ctx context.Context, conn net.Conn, credentials any)
	// HandshakeTimeout is the time that the Authenticator has for one client; 0:
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// MaxHandshakes is the number of handshakes at once; 0: DefaultMaxHandshakes. An Authenticator
	// that does not return although its connection is closed no longer counts. But if there are
	// MaxHandshakes of that kind, nobody is accepted until one of them returns.
	MaxHandshakes int
	// MaxConns is the number of authenticated clients at once; 0: no limit. Further clients wait until
	// they are accepted. An idle authenticated client still counts: only the Handler knows how long a
	// client may idle.
	MaxConns int
	// KeepRefused keeps the connections of clients open that the Authenticator would refuse now. The
	// default is to end them within a second, if the Authenticator is a [Rejudger]: with a
	// [TLSAuthenticator], when a certificate expires or is revoked, or when a changed file or list
	// does not let it in any more. The connection is reset, and the context of the Handler ends with
	// the *[AuthenticationError] as its cause.
	KeepRefused bool
	// Logger receives refusals and ended connections (Info), panics (Error), accept errors and an
	// excess of handshakes (Warn, at most once a second), and clients that are let in (Debug); nil:
	// slog.Default().
	Logger *slog.Logger

	mu        sync.Mutex
	base      context.Context // ends with Close; nil before the first use
	cancel    context.CancelFunc
	stopping  chan struct{} // closed by Shutdown and Close
	drained   chan struct{} // closed when the server is stopping and idle
	listeners map[*serving]struct{}
	waiting   backlog
	admitting bool                  // admitBacklog runs
	admission chan struct{}         // wakes admitBacklog
	dropping  int                   // dropped from the backlog, being closed
	pending   handshakes            // in progress and not abandoned
	entered   map[*session]struct{} // authenticated
	handling  int                   // the entered that are in the Handler
	sessions  uint64                // how many were ever authenticated
	rejudging bool                  // the goroutine of rejudge runs
	unwatched chan struct{}         // wakes it when there is nothing left to watch
	abandoned int                   // given up, but their Authenticator has not returned
	changed   chan struct{}         // closed at the next change of the above; nil: nobody waits

	lines         logLines // about connections that are ended
	evicted       int      // since the last log line about them
	evictedLogged time.Time
}

// serving is one listener in use.
type serving struct {
	listener net.Listener
	close    func() error // only the first call has an effect

	one   bool          // ends with the first authenticated client
	taken *session      // that client; nil: none yet
	over  bool          // no client will be taken
	ended chan struct{} // closed when the Handler of taken has returned or panicked
	fault error         // the panic; must be read after ended is closed
}

// Serve accepts connections on l until Shutdown or Close, then returns ErrServerClosed. It logs and
// survives accept errors that may pass, such as too many open files. If the configuration could let
// nobody in (for example, the Authenticator's Check fails), Serve returns an error before it
// accepts. Serve always closes l. It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(&serving{listener: l})
}

// ServeOne accepts connections on l until one client is authenticated. It then closes l and serves
// that client alone. It returns nil when the Handler has returned, and an error if the Handler
// panicked. It returns ErrServerClosed if Shutdown or Close came first, and otherwise the errors of
// Serve.
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
	return v.fault
}

// ListenAndServe listens on address ("tcp" with host:port, or "unix" with a path) and serves as
// Serve does. It replaces a Unix socket that an earlier server has left behind.
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

// check returns an error if the fields make no sense.
func (s *Server) check() error {
	switch {
	case s.Handler == nil:
		return errors.New("stream: Server without a Handler")
	case s.HandshakeTimeout < 0 || s.MaxHandshakes < 0 || s.MaxConns < 0:
		return fmt.Errorf("stream: Server with a negative limit: "+
			"HandshakeTimeout %v, MaxHandshakes %d, MaxConns %d",
			s.HandshakeTimeout, s.MaxHandshakes, s.MaxConns)
	case s.Authenticator == nil:
		return errors.New("stream: Server without an Authenticator; AllowAny lets everybody in")
	}
	return check(s.Authenticator)
}

// init sets the fields that the zero value lacks. The caller holds the mutex.
func (s *Server) init() {
	if s.base != nil {
		return
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.stopping, s.drained = make(chan struct{}), make(chan struct{})
	s.admission, s.unwatched = make(chan struct{}, 1), make(chan struct{}, 1)
	s.listeners = make(map[*serving]struct{})
	s.entered = make(map[*session]struct{})
}

// isStopping reports whether Shutdown or Close has been called. The caller holds the mutex.
func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// Shutdown closes the listeners and ends the handshakes. It then waits until every Handler and
// every Authenticator has returned, and returns nil. If ctx ends first, it returns the error of
// ctx, and the Handlers go on.
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
// does not wait until they return. Shutdown does, also after Close.
func (s *Server) Close() error {
	s.stop(true)
	return nil
}

// stop does the work of Shutdown, or with all that of Close. It closes the listeners first.
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
	for _, c := range s.waiting.all() {
		s.waiting.remove(c)
		conns = append(conns, c.raw)
	}
	for _, c := range s.pending.all() {
		s.abandon(c, ErrServerClosed)
		conns = append(conns, c.raw)
	}
	for c := range s.entered {
		if all || c.state == entered { // one that waits for a slot in the Handler gets none
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

// notify wakes everyone who waits for a change. The caller holds the mutex.
func (s *Server) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.wakeAdmission()
	if s.rejudging && s.isUnwatched() {
		select {
		case s.unwatched <- struct{}{}:
		default:
		}
	}
	s.checkDrained()
}

// checkDrained closes drained if the server is stopping and nothing is left to wait for. The caller
// holds the mutex.
func (s *Server) checkDrained() {
	if s.isStopping() && s.isIdle() {
		select {
		case <-s.drained:
		default:
			close(s.drained)
		}
	}
}

// isIdle reports whether the server does nothing any more. The caller holds the mutex.
func (s *Server) isIdle() bool {
	clients := s.dropping + s.pending.count + len(s.entered) + s.abandoned
	return !s.admitting && !s.rejudging && !s.lines.isBusy() && len(s.listeners)+clients == 0
}

// await releases the mutex until there is a change or d has passed, and takes it again. d = 0 means
// no limit.
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
