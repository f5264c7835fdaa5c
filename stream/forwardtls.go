package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/privatedir"
)

const (
	// remoteTimeout is how long a server may take to accept a connection and to finish its handshake.
	remoteTimeout = 10 * time.Second
	// While the server fails, the next connection waits before it is tried, minHold, and longer with
	// each further failure, up to maxHold: a ZeroMQ socket comes back ten times a second.
	minHold = 50 * time.Millisecond
	maxHold = time.Second
	// quickEnd is how soon a connection that the server breaks counts as one that it has refused: with
	// TLS 1.3 it refuses a certificate after the handshake.
	quickEnd = 2 * time.Second

	serverSide = "the server"
)

// socketName is the Unix socket in its private directory.
const socketName = "s"

// A Forwarding is a local endpoint whose connections come out of a TLS connection each. See
// [ForwardTLS].
type Forwarding struct {
	endpoint  string
	directory *privatedir.Dir // of the endpoint's socket; nil: it has none of its own
	server    Server
	ended     chan struct{} // closed when all is over
	err       error         // to be read after ended

	remote string
	config TLSClient

	mu     sync.Mutex
	failed int       // connections in a row
	again  time.Time // when the next may be tried
	said   string    // of the last failure; "": none
}

// ForwardTLS is the other end of [Forward]: a local endpoint, each connection to which is piped
// through a TLS connection of its own to remote, host:port. A ZeroMQ socket that connects to it
// talks over TLS without knowing.
//
// local is an endpoint:
//   - "" for a Unix socket in a new directory that nobody else may enter. It is in $TMPDIR, or, where
//     that makes the path too long or others can rename what is in it, in $XDG_RUNTIME_DIR or /tmp.
//   - "ipc://path", a socket of mode 0600.
//   - "tcp://127.0.0.1:0", where any user of this machine can connect, and for that reason nobody
//     else: an address that is not loopback is an error.
//
// The files and fields of cfg are checked at once, remote is not: each local connection dials anew,
// and is closed when that fails, which is logged. The next ones wait a while then, up to a second
// when failures go on. The forwarding lasts until ctx ends or Close is called.
func ForwardTLS(ctx context.Context, local, remote string, cfg TLSClient) (*Forwarding, error) {
	_, address, err := endpoint("tcp", remote)
	if err != nil {
		return nil, err
	}
	if _, err := cfg.config(address); err != nil {
		return nil, err
	}
	f := &Forwarding{remote: address, config: cfg, ended: make(chan struct{})}
	l, err := f.listen(ctx, local)
	if err != nil {
		return nil, errors.Join(err, f.removeDirectory())
	}
	f.server = Server{Handler: f.handle, Logger: cfg.Logger}
	stop := context.AfterFunc(ctx, func() { _ = f.server.Close() })
	go func() {
		defer close(f.ended)
		defer stop()
		err := f.server.Serve(l)
		_ = f.server.Close()
		_ = f.server.Shutdown(context.Background()) // until the last connection's goroutine has returned
		if err == ErrServerClosed {
			err = nil
		}
		f.err = errors.Join(err, f.removeDirectory())
	}()
	return f, nil
}

// Endpoint is what a ZeroMQ socket connects to: "ipc://path" or "tcp://host:port".
func (f *Forwarding) Endpoint() string { return f.endpoint }

// Close ends the endpoint and all connections, and waits until nothing is left of them. Further
// calls do nothing.
func (f *Forwarding) Close() error {
	_ = f.server.Close()
	return f.Wait()
}

// Wait returns when the forwarding has ended: nil after Close and the end of the context, else why.
func (f *Forwarding) Wait() error {
	<-f.ended
	return f.err
}

// listen opens the local endpoint.
func (f *Forwarding) listen(ctx context.Context, local string) (net.Listener, error) {
	if local == "" {
		directory, err := privatedir.Make(len(socketName))
		if err != nil {
			return nil, fmt.Errorf("stream: %w", err)
		}
		f.directory = directory
		local = "ipc://" + directory.Join(socketName)
	}
	network, address, err := endpoint("", local)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if address[0] == '@' {
			return nil, fmt.Errorf("stream: local endpoint %s: an abstract socket is open to every user of this machine, a path is not", local)
		}
		f.endpoint = local
		return listen(ctx, network, address, 0o600)
	}
	// Resolved once, so that what is looked at is what is listened on.
	tcp, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return nil, fmt.Errorf("stream: local endpoint %s: %w", local, err)
	}
	if !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("stream: local endpoint %s: only a loopback address is not open to other machines", local)
	}
	l, err := listen(ctx, network, tcp.String(), 0)
	if err == nil {
		f.endpoint = "tcp://" + l.Addr().String()
	}
	return l, err
}

func (f *Forwarding) removeDirectory() error {
	if f.directory == nil {
		return nil
	}
	if err := f.directory.Remove(); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

// handle pipes one local connection.
func (f *Forwarding) handle(ctx context.Context, conn net.Conn, _ any) {
	if !f.awaitTurn(ctx) {
		return
	}
	begun := time.Now()
	err := f.forward(ctx, conn)
	if ctx.Err() != nil {
		return
	}
	broken, piped := errors.AsType[*sideError](err)
	switch {
	case err == nil:
		f.succeeded()
	case !piped, broken.side == serverSide && time.Since(begun) < quickEnd:
		f.failedBy(err)
	default:
		f.succeeded()
		loggerOr(f.config.Logger).Info("stream: a forwarded connection broke", "remote", f.remote, "error", err)
	}
}

func (f *Forwarding) forward(ctx context.Context, conn net.Conn) error {
	dialing, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	remote, err := DialTLS(dialing, f.remote, f.config)
	if err != nil {
		return err
	}
	return pipe(ctx, end{"the local client", conn}, end{serverSide, remote})
}

// awaitTurn waits until the server may be tried, and is false where ctx has ended before.
func (f *Forwarding) awaitTurn(ctx context.Context) bool {
	f.mu.Lock()
	wait := time.Until(f.again)
	f.mu.Unlock()
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// failedBy notes that the server could not be used.
func (f *Forwarding) failedBy(err error) {
	reason := err // without the ports, which differ each time
	for inner := errors.Unwrap(reason); inner != nil; inner = errors.Unwrap(reason) {
		reason = inner
	}
	f.mu.Lock()
	f.again = time.Now().Add(min(minHold<<min(f.failed, 10), maxHold))
	f.failed++
	known := f.said == reason.Error()
	f.said = reason.Error()
	f.mu.Unlock()
	level := slog.LevelWarn
	if known { // as each further time is of no news
		level = slog.LevelDebug
	}
	loggerOr(f.config.Logger).Log(context.Background(), level, "stream: a connection could not be forwarded", "remote", f.remote, "error", err)
}

// succeeded notes that the server could be used.
func (f *Forwarding) succeeded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed, f.again, f.said = 0, time.Time{}, ""
}
