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

// Tunnel is one SSH connection, opened again whenever it is lost, and the streams and forwards that
// go through it. Its methods may be called by many goroutines at once.
type Tunnel struct {
	targets  []*target // the hosts to go through, and the last
	logger   *slog.Logger
	localTCP bool
	linger   time.Duration // of streams that are closed
	secrets  *secrets
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup // goroutines that Close waits for
	closing  sync.Once
	closeErr error

	mu       sync.Mutex
	closed   bool
	conn     *connection   // nil: being opened again
	err      error         // why there is none
	changed  chan struct{} // closed, and replaced, when conn or err change
	forwards map[remote]*forward
	dir      *privatedir.Dir      // of the forwards' sockets; nil: none yet
	locals   map[near]func(error) // this machine's ends of the streams, and who is to know that one is cut off
}

// Open opens an SSH connection. It returns when the user is logged in, with an error where that
// fails: *HostKeyError, *AuthError, *FileError and what package net has. Nothing lasts longer than
// ctx, whatever the server does; the connection itself does not depend on ctx.
func Open(ctx context.Context, cfg Config) (*Tunnel, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	targets, err := resolve(cfg)
	if err != nil {
		return nil, err
	}
	last := targets[len(targets)-1]
	t := &Tunnel{
		targets: targets, logger: last.logger, localTCP: cfg.LocalTCP, linger: streamLinger, secrets: newSecrets(last.logger),
		changed: make(chan struct{}), forwards: map[remote]*forward{}, locals: map[near]func(error){},
	}
	if t.conn, err = connect(ctx, targets, t.secrets); err != nil {
		return nil, err
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.work.Go(t.watch)
	return t, nil
}

// Dial opens a stream to an address as the SSH server sees it: network "tcp" with host:port, or
// "unix" with the path of a socket. While the connection is down it waits until it is back, or ctx
// ends. ctx does not matter to the stream afterwards.
//
// The stream's deadlines work, and it has a CloseWrite. Where the connection is lost, it ends with
// an error and not with io.EOF.
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
	if !t.keep(far, conn.cut, func() { conn.run(far) }) {
		_ = s.Close()
		return nil, errors.Join(ErrClosed, conn.Close(), far.Close())
	}
	return conn, nil
}

// open opens a stream, over the connection there is or the one that comes next.
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
		case <-time.After(time.Second): // the answer was nonsense, and would be again
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

// current is the connection, as soon as there is one.
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

// Err is nil while the tunnel is connected, and otherwise why it is not: what the connection was
// lost by, or what the last attempt to open it again has met; ErrClosed after Close.
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

// set takes note of what the connection is now.
func (t *Tunnel) set(conn *connection, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn, t.err = conn, err
	close(t.changed)
	t.changed = make(chan struct{})
}

// keep runs a goroutine that Close waits for, and whose near end it cuts off. After Close it does
// not, and returns false.
func (t *Tunnel) keep(local near, cut func(error), run func()) bool {
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

// Close ends the connection, its streams and forwards, and removes the forwards' sockets. ZeroMQ
// sockets that are connected through it go on trying, in vain. It waits until everything has ended,
// and may be called again.
func (t *Tunnel) Close() error {
	t.closing.Do(func() {
		t.mu.Lock()
		t.closed = true
		close(t.changed)
		t.changed = make(chan struct{})
		conn := t.conn
		for _, f := range t.forwards {
			_ = f.listener.Close()
		}
		t.mu.Unlock()
		t.cancel()
		if conn != nil {
			conn.end(ErrClosed)
			<-conn.done
		}
		t.mu.Lock()
		for local, cut := range t.locals { // one that nobody reads from would keep its stream waiting
			cut(ErrClosed)
			drop(local)
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
