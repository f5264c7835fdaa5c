package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// Tunnel is one SSH connection, with the streams and forwards that go through it. It opens the
// connection again whenever it is lost. Its methods may be called by many goroutines at once.
type Tunnel struct {
	targets  []*target // the jump hosts, and then the server
	logger   *slog.Logger
	localTCP bool
	linger   time.Duration // of closed streams
	secrets  *secrets
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup // goroutines that Close waits for
	incoming chan struct{}  // one for each connection from the server
	socks    chan struct{}  // one for each connection of ServeSOCKS
	closing  sync.Once
	closeErr error

	mu        sync.Mutex
	closed    bool
	conn      *connection   // nil: being opened again
	err       error         // why conn is nil
	changed   chan struct{} // closed, and replaced, when conn or err change
	forwards  map[forwardKey]*forward
	reverses  []*reverse
	listeners []*localListener // of forwards and proxies
	dir       *privatedir.Dir  // of the listeners' sockets; nil: none yet
	// locals are the local ends of the streams. The function is told why one is cut off.
	locals map[localEnd]func(error)
}

// Open opens an SSH connection and returns when the user is logged in. The error is a
// *HostKeyError, *AuthError or *FileError, or one of package net. ctx limits the time of Open,
// whatever the server does. The connection does not depend on ctx.
func Open(ctx context.Context, cfg Config) (*Tunnel, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	targets, err := resolve(ctx, cfg)
	if err != nil {
		return nil, err
	}
	last := targets[len(targets)-1]
	t := &Tunnel{
		targets: targets, logger: last.logger, localTCP: cfg.LocalTCP, linger: lingerTime,
		secrets:  newSecrets(last.logger),
		incoming: make(chan struct{}, maxIncoming), socks: make(chan struct{}, maxSOCKS),
		changed: make(chan struct{}), forwards: map[forwardKey]*forward{},
		locals: map[localEnd]func(error){},
	}
	if t.conn, err = connect(ctx, targets, t.secrets); err != nil {
		return nil, err
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.serveIncoming(t.conn)
	t.work.Go(t.watch)
	return t, nil
}

// Dial opens a stream to an address as the SSH server sees it: network "tcp" with host:port, or
// "unix" with the path of a socket. While the connection is down, Dial waits until it is back or
// ctx ends. Afterwards ctx does not matter to the stream.
//
// The stream supports deadlines and has a method CloseWrite. If the connection is lost, the stream
// ends with an error, not with io.EOF.
func (t *Tunnel) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := parseRemote(network, address)
	if err != nil {
		return nil, fmt.Errorf("sshtunnel: dial %s %q: %w", network, address, err)
	}
	s, err := t.open(ctx, to)
	if err != nil {
		return nil, err
	}
	conn, far, err := newStreamConn(s, to, t.linger)
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("sshtunnel: dial %s: %w", to, err)
	}
	if !t.track(far, conn.cut, func() { conn.run(far) }) {
		_ = s.Close()
		return nil, errors.Join(ErrClosed, conn.Close(), far.Close())
	}
	return conn, nil
}

// open opens a stream over the present connection, or over the next one if there is none.
func (t *Tunnel) open(ctx context.Context, to remote) (*stream, error) {
	for {
		conn, err := t.current(ctx)
		if err != nil {
			return nil, t.explain(to, err)
		}
		s, err := conn.open(ctx, to)
		if err == nil {
			return s, nil
		}
		var answer *ssh.OpenChannelError
		if errors.As(err, &answer) || ctx.Err() != nil {
			return nil, t.explain(to, err)
		}
		select {
		case <-conn.done:
		case <-ctx.Done():
		case <-time.After(time.Second): // the server's answer made no sense, and would not the next time
			return nil, t.explain(to, err)
		}
	}
}

func (t *Tunnel) explain(to remote, err error) error {
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("sshtunnel: %s through %s: %w", to, t.last(), inner{err})
}

func (t *Tunnel) last() *target { return t.targets[len(t.targets)-1] }

// current returns the connection. If it is down, current waits until it is back.
func (t *Tunnel) current(ctx context.Context) (*connection, error) {
	for {
		t.mu.Lock()
		conn, reason, changed, closed := t.conn, t.err, t.changed, t.closed
		t.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case ctx.Err() != nil && reason != nil:
			return nil, fmt.Errorf("%w; the connection is down: %w", ctx.Err(), inner{reason})
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case conn != nil && !conn.ended():
			return conn, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// Err returns nil while the tunnel is connected. Otherwise it returns why it is not: why the
// connection was lost, or why the last attempt to open it again failed. After Close it returns
// ErrClosed.
func (t *Tunnel) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return ErrClosed
	case t.conn != nil && t.conn.ended():
		return t.conn.failure
	}
	return t.err
}

// set changes the state of the connection.
func (t *Tunnel) set(conn *connection, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn, t.err = conn, err
	close(t.changed)
	t.changed = make(chan struct{})
}

// track runs a goroutine that Close waits for. Close resets its local end. After Close, track does
// not run it and returns false.
func (t *Tunnel) track(local localEnd, cut func(error), run func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.locals[local] = cut
	t.work.Go(func() {
		run()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.locals, local)
	})
	return true
}

// Close ends the connection, its streams and forwards, and removes the sockets of local endpoints.
// ZeroMQ sockets that are connected through it keep trying, in vain. Close waits until everything
// has ended. It may be called again.
func (t *Tunnel) Close() error {
	t.closing.Do(func() {
		t.mu.Lock()
		t.closed = true
		close(t.changed)
		t.changed = make(chan struct{})
		conn := t.conn
		for _, l := range t.listeners {
			_ = l.Close()
		}
		t.mu.Unlock()
		t.cancel()
		if conn != nil {
			conn.end(ErrClosed)
			<-conn.done
		}
		t.mu.Lock()
		for local, cut := range t.locals { // a stream waits for ever if nobody reads its local end
			cut(ErrClosed)
			reset(local)
		}
		t.mu.Unlock()
		t.work.Wait()
		t.secrets.forgetAll()
		if t.dir != nil {
			if err := t.dir.Remove(); err != nil {
				t.closeErr = fmt.Errorf("sshtunnel: %w", err)
			}
		}
	})
	return t.closeErr
}
