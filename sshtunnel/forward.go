package sshtunnel

import (
	"context"
	"fmt"
)

// forward is a local endpoint for a remote.
type forward struct {
	*localListener
	remote remote
	log    reachability
}

// forwardKey tells forwards apart.
type forwardKey struct {
	remote remote
	local  string // the endpoint as it was asked for; "": a private one
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
	return t.ForwardTo(remote, "")
}

// ForwardTo is Forward with a local endpoint of the program's choice. It returns the endpoint as it
// is then. local is one of these:
//
//   - "ipc:///path" for a Unix socket of mode 0600. A socket on which nobody listens any more is
//     replaced. Anything else at the path is an error.
//   - "tcp://127.0.0.1:port", or another loopback address, for a TCP port. Port 0 or * is one that
//     the system chooses. Every user and program of this machine can connect to it. An address that
//     is not loopback is an error, because other machines could connect, too.
//   - "" for that of Forward.
//
// The same remote and local always have the same endpoint.
func (t *Tunnel) ForwardTo(remote, local string) (endpoint string, err error) {
	to, err := parseEndpoint(remote)
	if err != nil {
		return "", err
	}
	at, err := parseLocal(local)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return "", ErrClosed
	}
	key := forwardKey{to, local}
	if known := t.forwards[key]; known != nil {
		return known.endpoint, nil
	}
	f := &forward{remote: to, log: reachability{tunnel: t, name: to.String()}}
	if f.localListener, err = t.listen(at, "remote", to.String(), f.carry, 0); err != nil {
		return "", fmt.Errorf("sshtunnel: a local endpoint for %s: %w", to, err)
	}
	t.forwards[key] = f
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

// carry connects one local connection to the remote.
func (f *forward) carry(local localEnd) {
	ctx, cancel := context.WithTimeout(f.tunnel.ctx, streamTimeout)
	s, err := f.tunnel.open(ctx, f.remote)
	cancel()
	f.log.report(err)
	if err != nil {
		_ = local.Close()
		return
	}
	s.pipe(local, unknownOwner{})
}
