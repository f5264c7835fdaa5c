package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/backoff"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

const (
	// remoteTimeout is how long a server may take to accept a connection and to finish the handshake.
	remoteTimeout = 10 * time.Second
	// refusalTime tells a refusal from a later break. With TLS 1.3 the server refuses a certificate
	// after the handshake, so a connection that the server breaks sooner than this counts as refused.
	refusalTime = 2 * time.Second

	serverSide = "the server"
)

// socketName is the name of the Unix socket in its private directory.
const socketName = "s"

// A Forwarding is a local endpoint whose connections go through one TLS connection each. See
// [ForwardTLS].
type Forwarding struct {
	endpoint  string
	directory *privatedir.Dir // of the endpoint's socket; nil: it has none of its own
	server    Server
	ended     chan struct{} // closed when everything has ended
	err       error         // must be read after ended is closed

	remote string
	config TLSClient

	turn       backoff.Turn // after failures of the server
	mu         sync.Mutex
	lastReason string // of the last failure; "": none
}

// ForwardTLS is the counterpart of [Forward] on the client's side. It makes a local endpoint. Each
// connection to it is piped through a TLS connection of its own to remote, host:port. A ZeroMQ
// socket that connects to the endpoint uses TLS without knowing it.
//
// local is an endpoint:
//   - "" for a Unix socket in a new directory that no other user can enter. The directory is in
//     $TMPDIR. If the path would be too long there, or if others can rename what is in $TMPDIR, it
//     is in $XDG_RUNTIME_DIR or /tmp.
//   - "ipc://path" for a socket of mode 0600.
//   - "tcp://127.0.0.1:0" for a TCP port. Every user of this machine can connect to it. An address
//     that is not loopback is an error, because other machines could connect, too.
//
// ForwardTLS checks the files and fields of cfg at once, but does not connect to remote. Each local
// connection dials anew. If that fails, the local connection is closed, the failure is logged, and
// the next connections wait for a while: up to a second if failures go on. The forwarding lasts
// until ctx ends or Close is called.
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
	f.server = Server{Authenticator: AllowAny, Handler: f.handle, Logger: cfg.Logger}
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

// Endpoint returns the endpoint that a ZeroMQ socket connects to: "ipc://path" or
// "tcp://host:port".
func (f *Forwarding) Endpoint() string { return f.endpoint }

// Close closes the endpoint and all connections, and waits until they have ended. Further calls do
// nothing.
func (f *Forwarding) Close() error {
	_ = f.server.Close()
	return f.Wait()
}

// Wait waits until the forwarding has ended. It returns nil after Close or the end of the context,
// otherwise the reason.
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
			return nil, fmt.Errorf("stream: local endpoint %s: an abstract socket is open to every "+
				"user of this machine, a path is not", local)
		}
		f.endpoint = local
		return listen(ctx, network, address, 0o600)
	}
	// The name is resolved once, so that the address that is checked is the one that is listened on.
	tcp, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return nil, fmt.Errorf("stream: local endpoint %s: %w", local, err)
	}
	if !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("stream: local endpoint %s: "+
			"only a loopback address is not open to other machines", local)
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
	if !f.turn.Await(ctx) {
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
		f.noteSuccess()
	case !piped, broken.side == serverSide && time.Since(begun) < refusalTime:
		f.noteFailure(err)
	default:
		f.noteSuccess()
		loggerOr(f.config.Logger).Info("stream: a forwarded connection broke",
			"remote", f.remote, "error", err)
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

// noteFailure records that the server could not be used. A reason that was already logged is logged
// at the debug level.
func (f *Forwarding) noteFailure(err error) {
	reason := err // the innermost error, as the outer ones have ports that differ each time
	for inner := errors.Unwrap(reason); inner != nil; inner = errors.Unwrap(reason) {
		reason = inner
	}
	f.mu.Lock()
	known := f.lastReason == reason.Error()
	f.lastReason = reason.Error()
	f.mu.Unlock()
	f.turn.Note(true)
	level := slog.LevelWarn
	if known {
		level = slog.LevelDebug
	}
	loggerOr(f.config.Logger).Log(context.Background(), level,
		"stream: a connection could not be forwarded", "remote", f.remote, "error", err)
}

// noteSuccess records that the server could be used.
func (f *Forwarding) noteSuccess() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastReason = ""
	f.turn.Note(false)
}
