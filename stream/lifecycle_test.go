package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestBeforeServe: after any number of calls of Shutdown and Close, Serve closes its listener.
func TestBeforeServe(t *testing.T) {
	testpeer.NothingLeft(t)
	for name, end := range map[string]func(*Server) error{
		"Close":       (*Server).Close,
		"Close twice": func(s *Server) error { return errors.Join(s.Close(), s.Close()) },
		"Shutdown":    func(s *Server) error { return s.Shutdown(context.Background()) },
		"Shutdown, Close": func(s *Server) error {
			return errors.Join(s.Shutdown(context.Background()), s.Close())
		},
		"Close, Shutdown": func(s *Server) error {
			return errors.Join(s.Close(), s.Shutdown(context.Background()))
		},
		// The server is idle, so there is nothing to wait for.
		"Shutdown, too late": func(s *Server) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return s.Shutdown(ctx)
		},
	} {
		s := &Server{Authenticator: AllowAny, Handler: echo}
		must.OK(t, end(s))
		l := newListener(t)
		for what, err := range map[string]error{
			"Serve": s.Serve(l), "ServeOne": s.ServeOne(newListener(t)),
			"ListenAndServe": s.ListenAndServe("tcp", "127.0.0.1:0"),
		} {
			if err != ErrServerClosed {
				t.Errorf("%s, then %s: %v", name, what, err)
			}
		}
		if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
			t.Errorf("%s: the listener is still open", name)
			_ = conn.Close()
		}
		must.OK(t, end(s))
	}
}

// TestShutdownWaits: Shutdown waits for the Handlers, but no longer than its context. Handshakes
// and listeners end at once.
func TestShutdownWaits(t *testing.T) {
	s := &Server{Authenticator: password, Handler: echo}
	address := start(t, s)
	busy, silent := enter(t, address), dialTCP(t, address)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Shutdown(ctx) }()
	if !closed(silent) {
		t.Error("a handshake goes on")
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the listener is still open")
	}
	must.OK(t, exchange(busy, "still here"))
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("Shutdown returns %v", err)
	}
	must.OK(t, exchange(busy, "still here"))
	go func() { ended <- s.Shutdown(context.Background()) }()
	must.OK(t, busy.Close())
	if err := <-ended; err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
}

// TestShutdownEndsThoseWithoutSlot: after Shutdown, an authenticated client that still waits for
// its turn is not handled.
func TestShutdownEndsThoseWithoutSlot(t *testing.T) {
	s := &Server{Authenticator: password, Handler: echo, MaxConns: 1}
	address := start(t, s)
	// Both are in their handshake at once. So both are authenticated, and one waits for its turn.
	first, second := dialTCP(t, address), dialTCP(t, address)
	testpeer.Eventually(t, "both are in their handshake", func() bool {
		return s.counts().pending == 2
	})
	must.OK(t, giveWord(first))
	must.OK(t, exchange(first, "hello"))
	must.OK(t, giveWord(second))
	testpeer.Eventually(t, "the second waits", func() bool { return s.counts().entered == 2 })
	ended := make(chan error)
	go func() { ended <- s.Shutdown(context.Background()) }()
	if !closed(second) {
		t.Error("not closed")
	}
	must.OK(t, first.Close())
	must.OK(t, <-ended)
}

// TestCloseEndsAllAtOnce: Close ends the Handlers' connections and contexts, too, and does not wait
// for TLS to say goodbye.
func TestCloseEndsAllAtOnce(t *testing.T) {
	ca := newAuthority(t, "CA")
	server := ca.issue("server")
	ended := make(chan error, 1)
	s := &Server{
		Authenticator: &TLSAuthenticator{CertFile: server.cert, KeyFile: server.key},
		Handler: func(ctx context.Context, conn net.Conn, _ any) {
			for { // to a client that never reads
				if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
					<-ctx.Done()
					ended <- ctx.Err()
					return
				}
			}
		},
	}
	address := start(t, s)
	conn, err := DialTLS(patient(t), address, TLSClient{CAFile: ca.file})
	must.OK(t, err)
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	must.OK(t, err)
	must.OK(t, s.Close())
	if err := <-ended; err != context.Canceled {
		t.Errorf("the Handler's context: %v", err)
	}
}

// TestHandlerContextEnds: the context of a Handler ends when it returns, so that what it has begun
// ends, too.
func TestHandlerContextEnds(t *testing.T) {
	contexts := make(chan context.Context, 1)
	address := start(t, &Server{Authenticator: AllowAny,
		Handler: func(ctx context.Context, _ net.Conn, _ any) {
			contexts <- ctx
		}})
	dialTCP(t, address)
	<-(<-contexts).Done()
}

// TestServeSeveral: one Server serves two listeners with common limits, and ends both.
func TestServeSeveral(t *testing.T) {
	s := &Server{Authenticator: password, Handler: echo, MaxConns: 1}
	first := start(t, s)
	l := newListener(t)
	startOn(t, s, l)
	conn := enter(t, first)
	waiting := dialTCP(t, l.Addr().String())
	must.OK(t, giveWord(waiting))
	if !stillOpen(waiting) {
		t.Error("the limit is not for both")
	}
	must.OK(t, conn.Close())
	must.OK(t, exchange(waiting, "hello"))
}

func TestServeOne(t *testing.T) {
	testpeer.NothingLeft(t)
	s := &Server{Authenticator: password, Handler: echo, Logger: quiet()}
	for range 2 { // the Server can be used again
		l := newListener(t)
		served := make(chan error, 1)
		go func() { served <- s.ServeOne(l) }()
		address := l.Addr().String()
		refused := dialTCP(t, address)
		_, err := io.WriteString(refused, "a wrong one")
		must.OK(t, err)
		if !closed(refused) {
			t.Error("not closed")
		}
		silent := dialTCP(t, address)
		testpeer.Eventually(t, "the silent one is in its handshake", func() bool {
			return s.counts().pending == 1
		})
		conn := enter(t, address)
		if !closed(silent) {
			t.Error("another client's handshake goes on")
		}
		if _, err := net.Dial("tcp", address); err == nil {
			t.Error("the listener is still open")
		}
		must.OK(t, exchange(conn, "still here"))
		must.OK(t, conn.Close())
		must.OK(t, <-served)
	}
	must.OK(t, s.Close())
}

// TestServeOneOfMany: of many clients that come at once, exactly one is handled.
func TestServeOneOfMany(t *testing.T) {
	testpeer.NothingLeft(t)
	for range 20 {
		l := newListener(t)
		var mu sync.Mutex
		handled := 0
		s := &Server{Authenticator: password, Logger: quiet(),
			Handler: func(_ context.Context, conn net.Conn, _ any) {
				mu.Lock()
				defer mu.Unlock()
				handled++
			}}
		var group sync.WaitGroup
		for range 8 {
			conn := dialTCP(t, l.Addr().String())
			must.OK(t, giveWord(conn))
			group.Go(func() { closed(conn) })
		}
		must.OK(t, s.ServeOne(l))
		group.Wait()
		must.OK(t, s.Shutdown(patient(t)))
		if handled != 1 {
			t.Fatalf("%d were handled", handled)
		}
	}
}

func TestServeOneErrors(t *testing.T) {
	testpeer.NothingLeft(t)
	s := &Server{Authenticator: AllowAny,
		Logger: quiet(), Handler: func(context.Context, net.Conn, any) { panic("oh dear") }}
	l := newListener(t)
	dialTCP(t, l.Addr().String())
	if err := s.ServeOne(l); err == nil || !strings.Contains(err.Error(), "oh dear") {
		t.Errorf("after a panic: %v", err)
	}

	// A client that is in its handshake when ServeOne gives up is not handled afterwards.
	broken := errors.New("broken")
	inside, goOn := make(chan struct{}), make(chan struct{})
	s = &Server{
		Logger: quiet(), HandshakeTimeout: 2 * patience,
		Handler: func(context.Context, net.Conn, any) { t.Error("handled after all") },
		Authenticator: AuthenticatorFunc(func(_ context.Context, conn net.Conn) (net.Conn, any, error) {
			close(inside)
			<-goOn
			return conn, nil, nil
		}),
	}
	here, there := net.Pipe()
	defer there.Close()
	failing := &scriptedListener{script: func(n int) (net.Conn, error) {
		if n == 0 {
			return here, nil
		}
		<-inside
		return nil, broken
	}}
	if err := s.ServeOne(failing); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if !closed(there) {
		t.Error("not closed")
	}
	close(goOn)
	must.OK(t, s.Shutdown(patient(t)))
}

// TestServeOneWithoutSlot: if a client is authenticated but closed before its turn, it has not been
// served.
func TestServeOneWithoutSlot(t *testing.T) {
	testpeer.NothingLeft(t)
	inside, goOn := make(chan struct{}), make(chan struct{})
	authenticator := AuthenticatorFunc(
		func(ctx context.Context, conn net.Conn) (net.Conn, any, error) {
			close(inside)
			<-goOn
			return conn, nil, nil
		})
	s := &Server{Authenticator: authenticator, Handler: echo, Logger: quiet(), MaxConns: 1}
	l := newListener(t)
	served := make(chan error, 1)
	go func() { served <- s.ServeOne(l) }()
	dialTCP(t, l.Addr().String())
	<-inside
	s.mu.Lock()
	s.handling++ // another client has the slot
	s.mu.Unlock()
	close(goOn)
	testpeer.Eventually(t, "it waits for its turn", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.entered) == 1
	})
	must.OK(t, s.Close())
	if err := <-served; err != ErrServerClosed {
		t.Errorf("ServeOne: %v", err)
	}
}

// TestLifecycleRaces: Close and Shutdown leave nothing behind, at whatever moment they come.
func TestLifecycleRaces(t *testing.T) {
	testpeer.NothingLeft(t)
	for i := range 100 {
		s := &Server{Authenticator: password, Handler: echo, Logger: quiet(), MaxHandshakes: 2,
			MaxConns: 2}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must.OK(t, err)
		var group sync.WaitGroup
		group.Go(func() {
			if err := s.Serve(l); err != ErrServerClosed {
				t.Error(err)
			}
		})
		for range 4 {
			group.Go(func() {
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return
				}
				defer conn.Close()
				if giveWord(conn) == nil {
					_ = exchange(conn, "hello")
				}
			})
		}
		time.Sleep(time.Duration(i) * 10 * time.Microsecond) // another moment each time
		if i%2 == 0 {
			must.OK(t, s.Close())
		}
		must.OK(t, s.Shutdown(patient(t)))
		must.OK(t, s.Close())
		group.Wait()
	}
}

// counts is what a Server is busy with.
type counts struct{ waiting, pending, entered, abandoned int }

// counts returns what a Server is busy with.
func (s *Server) counts() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return counts{s.waiting.size, s.pending.count, len(s.entered), s.abandoned}
}

// scriptedListener accepts what its script says.
type scriptedListener struct {
	script func(n int) (net.Conn, error)
	n      int
	closed sync.Once
	done   chan struct{}
}

func (l *scriptedListener) Accept() (net.Conn, error) {
	n := l.n
	l.n++
	return l.script(n)
}

func (l *scriptedListener) Close() error {
	l.closed.Do(func() {
		if l.done != nil {
			close(l.done)
		}
	})
	return nil
}

func (l *scriptedListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
