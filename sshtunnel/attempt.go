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

// attempt is one try to get through all hosts to the last.
type attempt struct {
	ctx      context.Context // ended by whoever started it, or because a server takes too long
	cancel   context.CancelCauseFunc
	secrets  *secrets
	conn     *connection
	release  func() bool // from then on the end of ctx does not close the TCP connection; false: it has
	patience *time.Timer

	mu    sync.Mutex
	doing string // what is waited for
	limit time.Duration
}

// slowError says that a server took longer than it may.
type slowError struct{ limit time.Duration }

func (e *slowError) Error() string { return fmt.Sprintf("not within %s", e.limit) }
func (e *slowError) Timeout() bool { return true }

// connect makes a connection to the last of the targets through the others. It does not outlast
// ctx.
func connect(ctx context.Context, targets []*target, secrets *secrets) (*connection, error) {
	a := &attempt{secrets: secrets, conn: &connection{}}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	defer a.cancel(nil)
	a.patience = time.AfterFunc(loginTime, a.giveUp)
	defer a.patience.Stop()
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

// wait says what is waited for from now on, and for how long; 0: until the same moment as before.
func (a *attempt) wait(limit time.Duration, doing string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.doing = doing
	if limit > 0 {
		a.limit = limit
		a.patience.Reset(limit)
	}
}

func (a *attempt) giveUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cancel(&slowError{a.limit})
}

// step goes one host further.
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

// dial makes the connection that t's SSH is to run over.
func (a *attempt) dial(t *target) (*link, error) {
	if len(a.conn.clients) == 0 {
		conn, err := (&net.Dialer{}).DialContext(a.ctx, t.network, t.address())
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

// explain says what has failed. Where the time was up or the caller has given up, that is why.
func (a *attempt) explain(t *target, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ended := a.ctx.Err(); ended != nil {
		err = context.Cause(a.ctx)
		var slow *slowError
		if !errors.Is(err, ended) && !errors.As(err, &slow) {
			err = fmt.Errorf("%w (%w)", ended, err)
		}
		return fmt.Errorf("sshtunnel: %s: %s: %w", t, a.doing, err)
	}
	if strings.HasPrefix(err.Error(), "ssh: handshake failed: ") && errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server has closed the connection (%w)", err)
	}
	return fmt.Errorf("sshtunnel: %s: %s: %w", t, a.doing, err)
}
