package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// maxSocketName is the largest length of the name of a forward's socket in bytes. The name is a
// number.
const maxSocketName = 10

// warnInterval is the least time between two warnings about a remote that cannot be reached.
const warnInterval = time.Minute

// forward is a local endpoint for a remote.
type forward struct {
	tunnel   *Tunnel
	remote   remote
	endpoint string
	listener net.Listener

	mu     sync.Mutex
	warned time.Time // when a warning was logged last; zero: the remote can be reached
}

// Forward returns a local endpoint for remote, "tcp://host:port" or "ipc:///path" as the SSH server
// reaches it. The endpoint is a Unix socket ("ipc://…") in a directory that only this user can
// enter, or "tcp://127.0.0.1:port" with [Config.LocalTCP]. It lasts until Close, also while the
// connection is down. The same remote always has the same endpoint.
//
// Each connection to the endpoint becomes a stream to the remote. If nobody listens there, the
// connection is closed, and a ZeroMQ socket tries again by itself. The reason is logged, once a
// minute at most. While the tunnel is down, a connection waits for half a minute.
//
// If the program is killed, the directory is left behind. It can be removed then, as nobody listens
// in it.
func (t *Tunnel) Forward(remote string) (endpoint string, err error) {
	to, err := parseEndpoint(remote)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return "", ErrClosed
	}
	if known := t.forwards[to]; known != nil {
		return known.endpoint, nil
	}
	f := &forward{tunnel: t, remote: to}
	if err := f.listen(len(t.forwards) + 1); err != nil {
		return "", fmt.Errorf("sshtunnel: a local endpoint for %s: %w", to, err)
	}
	t.forwards[to] = f
	t.work.Go(f.serve)
	return f.endpoint, nil
}

// A Connector connects to an endpoint, "ipc://path" or "tcp://host:port". The *Socket of
// github.com/pebbe/zmq4 is one, and so are the sockets of other bindings. This package needs none
// of them, and no cgo.
type Connector interface {
	Connect(endpoint string) error
}

// Connect connects s to remote through the tunnel. With a *zmq4.Socket it returns at once. libzmq
// connects as soon as it can, and again whenever the connection is lost. Connect must be called by
// the goroutine that owns s. To disconnect, get the endpoint from Forward.
//
// As with any other transport, a message that is under way when a connection is lost is lost, too.
// A REQ socket then waits for its answer for ever, unless ZMQ_REQ_RELAXED and ZMQ_REQ_CORRELATE are
// set.
func (t *Tunnel) Connect(s Connector, remote string) error {
	endpoint, err := t.Forward(remote)
	if err != nil {
		return err
	}
	if err := s.Connect(endpoint); err != nil {
		return fmt.Errorf("sshtunnel: %s: %w", remote, err)
	}
	return nil
}

// listen opens the local endpoint. The caller holds the tunnel's mutex.
func (f *forward) listen(number int) (err error) {
	if f.tunnel.localTCP {
		if f.listener, err = net.Listen("tcp4", "127.0.0.1:0"); err == nil {
			f.endpoint = "tcp://" + f.listener.Addr().String()
		}
		return err
	}
	if f.tunnel.dir == nil {
		if f.tunnel.dir, err = privatedir.Make(maxSocketName); err != nil {
			return err
		}
	}
	path := f.tunnel.dir.Join(strconv.Itoa(number))
	if f.listener, err = privatedir.Listen(f.tunnel.ctx, path, 0o600); err == nil {
		f.endpoint = "ipc://" + path
	}
	return err
}

// serve accepts connections until the listener is closed.
func (f *forward) serve() {
	pause := time.Duration(0)
	for {
		local, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			pause = acceptPause(pause)
			f.tunnel.logger.Warn("sshtunnel: a forward cannot accept connections for now",
				"remote", f.remote.String(), "error", err)
			select {
			case <-time.After(pause):
			case <-f.tunnel.ctx.Done():
			}
			continue
		}
		pause = 0
		if end := local.(localEnd); !f.tunnel.track(end, func(error) {}, func() { f.carry(end) }) {
			_ = local.Close()
		}
	}
}

// carry connects one local connection to the remote.
func (f *forward) carry(local localEnd) {
	ctx, cancel := context.WithTimeout(f.tunnel.ctx, streamTimeout)
	s, err := f.tunnel.open(ctx, f.remote)
	cancel()
	f.report(err)
	if err != nil {
		_ = local.Close()
		return
	}
	s.pipe(local, unknownOwner{})
}

// report logs that the remote cannot be reached, and that it can be reached again.
func (f *forward) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	logger := f.tunnel.logger.With("remote", f.remote.String())
	switch {
	case f.tunnel.ctx.Err() != nil:
	case err == nil && !f.warned.IsZero():
		f.warned = time.Time{}
		logger.Info("sshtunnel: the remote can be reached again")
	case err != nil && time.Since(f.warned) >= warnInterval:
		f.warned = time.Now()
		logger.Warn("sshtunnel: the remote cannot be reached", "error", err)
	case err != nil:
		logger.Debug("sshtunnel: the remote cannot be reached", "error", err)
	}
}

// acceptPause returns how long to wait after an error of Accept that may pass, such as too many
// open files.
func acceptPause(before time.Duration) time.Duration {
	return min(max(2*before, 5*time.Millisecond), time.Second)
}
