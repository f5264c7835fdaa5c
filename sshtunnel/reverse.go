package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// reverse is an endpoint at the SSH server that leads to one of this machine.
type reverse struct {
	tunnel *Tunnel
	asked  remote // what the program has asked the server to listen on
	to     remote // as this machine reaches it
	log    reachability
	ctx    context.Context // ends with the tunnel, or when nobody waits for the first answer any more
	cancel context.CancelFunc
	ready  chan struct{} // closed when the server has answered for the first time
	err    error         // that the server has refused; set before ready is closed

	// Guarded by the tunnel's mutex:
	at      remote        // asked, with the port that the server has chosen
	pending chan struct{} // closed when the server has answered a request; nil: there is none
}

// refusedError says that the SSH server does not listen.
type refusedError struct{ at remote }

func (e *refusedError) Error() string {
	return fmt.Sprintf("the server refuses to listen on %s: somebody else does, or "+
		"AllowTcpForwarding, AllowStreamLocalForwarding or PermitListen of sshd_config forbids it", e.at)
}

// Reverse makes the SSH server listen on remote. Each connection to it is carried to local, as this
// machine reaches it. So a server behind a NAT can be reached at the gateway. Reverse returns
// remote with the port that it has then. It waits for the server's answer until ctx ends.
//
// remote is "tcp://host:port" or "ipc:///path". Port 0 or * is one that the server chooses. The
// host is an address or name of the server: "127.0.0.1" is for the gateway itself, "*" for
// everybody who can reach it. OpenSSH's server listens on its loopback address alone, whatever the
// host is, unless its GatewayPorts allows more. local is "tcp://host:port" or "ipc:///path".
//
// It lasts until Close. After a lost connection it is restored with the same port. If the server
// still has the lost connection, it refuses that at first, and the request is repeated. For a path,
// the server's StreamLocalBindUnlink must be set: or else the file that the lost connection has
// left is in the way. The same remote and local are one forward.
func (t *Tunnel) Reverse(ctx context.Context, remote, local string) (endpoint string, err error) {
	at, err := parseBind(remote)
	if err != nil {
		return "", err
	}
	to, err := parseEndpoint(local)
	if err != nil {
		return "", err
	}
	r, isNew := t.reverse(at, to)
	if r == nil {
		return "", ErrClosed
	}
	select {
	case <-r.ready:
	case <-ctx.Done():
		if isNew {
			r.cancel()
			<-r.ready
		}
		if reason := t.Err(); reason != nil {
			return "", t.explain(at, fmt.Errorf("%w; the connection is down: %w", ctx.Err(), inner{reason}))
		}
		return "", t.explain(at, ctx.Err())
	}
	if r.err != nil {
		return "", t.explain(at, r.err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.at.String(), nil
}

// reverse returns the forward for two endpoints, a new one if there is none. It returns nil after
// Close.
func (t *Tunnel) reverse(at, to remote) (r *reverse, isNew bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false
	}
	for _, known := range t.reverses {
		if known.asked == at && known.to == to {
			return known, false
		}
	}
	r = &reverse{
		tunnel: t, asked: at, at: at, to: to, ready: make(chan struct{}),
		log: reachability{tunnel: t, name: to.String()},
	}
	r.ctx, r.cancel = context.WithCancel(t.ctx)
	t.reverses = append(t.reverses, r)
	t.work.Go(r.keep)
	return r, true
}

// keep asks the server to listen, and again over each further connection.
func (r *reverse) keep() {
	defer r.cancel()
	answered := false
	answer := func(err error) {
		if !answered {
			r.err = err
			answered = true
			close(r.ready)
		}
	}
	for tries := 0; ; {
		conn, err := r.tunnel.current(r.ctx)
		if err == nil {
			err = r.request(conn)
		}
		var refused *refusedError
		switch {
		case err == nil:
			answer(nil)
			tries = 0
			select {
			case <-conn.done:
			case <-r.ctx.Done():
			}
		case r.ctx.Err() != nil || errors.Is(err, ErrClosed) || errors.As(err, &refused) && !answered:
			r.tunnel.forget(r)
			answer(err)
			return
		default:
			r.tunnel.logger.Warn("sshtunnel: a reverse forward cannot be restored yet",
				"remote", r.at.String(), "error", err)
			select {
			case <-time.After(pause(tries, maxPause)):
			case <-r.ctx.Done():
			}
			tries++
		}
	}
}

// forget removes a forward.
func (t *Tunnel) forget(r *reverse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, known := range t.reverses {
		if known == r {
			t.reverses = append(t.reverses[:i], t.reverses[i+1:]...)
			return
		}
	}
}

// request asks the server to listen, and waits for its answer.
func (r *reverse) request(conn *connection) error {
	pending := make(chan struct{})
	r.tunnel.mu.Lock()
	at := r.at
	r.pending = pending
	r.tunnel.mu.Unlock()
	result := make(chan error, 1)
	go func() {
		kind, payload := at.listen()
		granted, reply, err := conn.client().SendRequest(kind, true, payload)
		if err == nil && !granted {
			err = &refusedError{at}
		}
		if err == nil && at.path == "" && at.port == 0 {
			var chosen struct{ Port uint32 }
			if err = ssh.Unmarshal(reply, &chosen); err == nil {
				at.port = int(chosen.Port)
			}
		}
		r.tunnel.mu.Lock()
		if err == nil {
			r.at = at
		}
		r.pending = nil
		r.tunnel.mu.Unlock()
		close(pending)
		result <- err
		if err == nil && r.ctx.Err() != nil { // nobody waits for it any more
			_, _, _ = conn.client().SendRequest("cancel-"+kind, false, payload)
		}
	}()
	select {
	case err := <-result:
		return err
	case <-conn.done:
		return conn.failure
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// parseBind parses an endpoint for the SSH server to listen on. The host * is any.
func parseBind(endpoint string) (remote, error) {
	if rest, ok := strings.CutPrefix(endpoint, "tcp://*:"); ok {
		r, err := parseListener("tcp://0.0.0.0:" + rest)
		r.host = "*"
		if err != nil {
			err = fmt.Errorf("sshtunnel: endpoint %q: %w", endpoint, errors.Unwrap(err))
		}
		return r, err
	}
	return parseListener(endpoint)
}

// listen returns the type of the request to listen on the remote, and its payload (RFC 4254,
// section 7.1; OpenSSH's PROTOCOL, section 2.4).
func (r remote) listen() (kind string, payload []byte) {
	if r.path != "" {
		return "streamlocal-forward@openssh.com", ssh.Marshal(struct{ Path string }{r.path})
	}
	return "tcpip-forward", ssh.Marshal(struct {
		Host string
		Port uint32
	}{r.bindHost(), uint32(r.port)})
}

// bindHost returns the host as requests to listen have it: "" is any address.
func (r remote) bindHost() string {
	if r.host == "*" {
		return ""
	}
	return r.host
}
