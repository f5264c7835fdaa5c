package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// attempt is one attempt to connect to the last host through all hosts before it.
type attempt struct {
	ctx     context.Context // ends with the caller's context, or when a server takes too long
	cancel  context.CancelCauseFunc
	secrets *secrets
	conn    *connection
	release func() bool // stops ctx from closing the TCP connection; false: it was closed already
	timer   *time.Timer

	mu       sync.Mutex
	activity string // what the attempt waits for
	limit    time.Duration
}

// slowError says that a server took longer than it may.
type slowError struct{ limit time.Duration }

func (e *slowError) Error() string { return fmt.Sprintf("not within %s", e.limit) }
func (e *slowError) Timeout() bool { return true }

// connect connects to the last of the targets through the others. It returns when ctx ends.
func connect(ctx context.Context, targets []*target, secrets *secrets) (*connection, error) {
	a := &attempt{secrets: secrets, conn: &connection{}}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	defer a.cancel(nil)
	a.timer = time.AfterFunc(loginTime, a.timeOut)
	defer a.timer.Stop()
	last := targets[len(targets)-1]
	for _, t := range targets {
		if err := a.step(t); err != nil {
			a.conn.closeAll()
			return nil, err
		}
	}
	if !a.release() {
		a.conn.closeAll()
		return nil, a.explain(last, nil)
	}
	a.conn.start(last)
	return a.conn, nil
}

// wait records what the attempt waits for from now on, and for how long. A limit of 0 keeps the
// present deadline.
func (a *attempt) wait(limit time.Duration, activity string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.activity = activity
	if limit > 0 {
		a.limit = limit
		a.timer.Reset(limit)
	}
}

// timeOut is called when the present deadline is over.
func (a *attempt) timeOut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancel(&slowError{a.limit})
}

// step connects to the next host and logs in.
func (a *attempt) step(t *target) error {
	check, err := newHostKeyCheck(t, func() { a.wait(loginTime, "logging in") })
	if err != nil {
		return err
	}
	a.wait(t.connectTimeout, "connecting")
	conn, err := a.dial(t)
	if err != nil {
		return a.explain(t, err)
	}
	a.wait(0, "waiting for the server to prove who it is")
	login := &login{ctx: a.ctx, target: t, secrets: a.secrets, broken: conn.err}
	defer login.close()
	client, channels, requests, err := ssh.NewClientConn(conn, t.address(), &ssh.ClientConfig{
		Config: ssh.Config{
			KeyExchanges: t.algorithms.KeyExchanges, Ciphers: t.algorithms.Ciphers, MACs: t.algorithms.MACs,
		},
		User:              t.user,
		HostKeyCallback:   check.callback,
		HostKeyAlgorithms: check.algorithms(),
		AuthCallback:      login.next,
	})
	if err == nil {
		a.conn.clients = append(a.conn.clients, ssh.NewClient(client, channels, requests))
		return nil
	}
	if fault := check.failed(); fault != nil {
		return fault
	}
	if fault := login.failed(err); fault != nil && a.ctx.Err() == nil {
		var refused *AuthError
		if errors.As(fault, &refused) {
			a.secrets.forgetFor(t)
		}
		return fault
	}
	return a.explain(t, err)
}

// dial makes the connection that the SSH connection to t runs over.
func (a *attempt) dial(t *target) (*link, error) {
	if len(a.conn.clients) == 0 {
		conn, err := a.dialFirst(t)
		if err != nil {
			return nil, err
		}
		a.conn.base = newLink(conn)
		a.conn.last = a.conn.base
		a.release = context.AfterFunc(a.ctx, func() { _ = conn.Close() })
		return a.conn.base, nil
	}
	conn, err := a.conn.client().DialContext(a.ctx, "tcp", t.address())
	if err != nil {
		return nil, err
	}
	a.conn.last = newLink(conn)
	return a.conn.last, nil
}

// dialFirst connects to the first host, through a ProxyCommand if it has one.
func (a *attempt) dialFirst(t *target) (net.Conn, error) {
	if t.command != "" {
		return dialCommand(t.command, t.logger)
	}
	dialer := net.Dialer{}
	if t.bind != "" {
		address, err := net.ResolveTCPAddr(t.network, net.JoinHostPort(t.bind, "0"))
		if err != nil {
			return nil, fmt.Errorf("BindAddress %q: %w", t.bind, err)
		}
		dialer.LocalAddr = address
	}
	return dialer.DialContext(a.ctx, t.network, t.address())
}

// explain says what failed. If the deadline is over or the caller's context has ended, that is the
// reason.
func (a *attempt) explain(t *target, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ended := a.ctx.Err(); ended != nil {
		err = context.Cause(a.ctx)
		var slow *slowError
		if !errors.Is(err, ended) && !errors.As(err, &slow) {
			err = fmt.Errorf("%w (%w)", ended, err)
		}
		return fmt.Errorf("sshtunnel: %s: %s: %w", t, a.activity, err)
	}
	if strings.HasPrefix(err.Error(), "ssh: handshake failed: ") && errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server has closed the connection (%w)", err)
	}
	if a.conn.base != nil && len(a.conn.clients) == 0 {
		if command, ok := a.conn.base.Conn.(*commandConn); ok {
			err = command.explain(err)
		}
	}
	return fmt.Errorf("sshtunnel: %s: %s: %w", t, a.activity, err)
}
