package sshtunnel

import (
	"context"
	"errors"
	"net"
	"time"
)

// shutdownInterval is how often Shutdown looks whether the last stream has ended.
const shutdownInterval = 10 * time.Millisecond

// Shutdown closes the local endpoints, so that nobody can connect to them any more, and waits until
// all streams have ended, or until ctx ends. Then it closes the tunnel as Close does. The SSH
// server is asked at once to listen for no Reverse any more. The error is that of ctx if it has cut
// off streams, joined with that of Close.
func (t *Tunnel) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	for _, l := range t.listeners {
		_ = l.Close()
	}
	conn, reverses := t.conn, t.reverses
	t.reverses = nil // what the server opens from now on is refused
	t.mu.Unlock()
	for _, r := range reverses {
		r.end(conn)
	}
	ticker := time.NewTicker(shutdownInterval)
	defer ticker.Stop()
	for t.hasStreams() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), t.Close())
		}
	}
	return t.Close()
}

// hasStreams reports whether a stream has not ended.
func (t *Tunnel) hasStreams() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.locals) > 0 && !t.closed
}

// end asks the server not to listen any more, if there is a connection to it. It does not wait.
func (r *reverse) end(conn *connection) {
	r.cancel()
	r.tunnel.mu.Lock()
	kind, payload := r.at.listen()
	r.tunnel.mu.Unlock()
	if conn != nil {
		// It returns when the connection ends at the latest.
		go func() { _, _, _ = conn.client().SendRequest("cancel-"+kind, false, payload) }()
	}
}

// ServeSOCKS serves one client of SOCKS5, as [Tunnel.SOCKS] does, on a connection that the program
// has accepted: of TCP, or of a Unix socket. It closes conn, and returns when the connection has
// ended. After Close it returns ErrClosed.
//
// A tunnel serves at most 1024 connections in this way at a time. Further calls wait. Closing conn
// does not end the wait; Close of the tunnel does. The program bounds how many connections it
// accepts.
func (t *Tunnel) ServeSOCKS(conn net.Conn) error {
	local, ok := conn.(localEnd)
	if !ok {
		_ = conn.Close()
		return errors.New("sshtunnel: SOCKS needs a connection that can be half-closed")
	}
	select {
	case t.socks <- struct{}{}:
		defer func() { <-t.socks }()
	case <-t.ctx.Done():
		_ = conn.Close()
		return ErrClosed
	}
	ended := make(chan struct{})
	serve := func() {
		defer close(ended)
		t.serveSOCKS(local)
	}
	if !t.track(local, func(error) {}, serve) {
		_ = conn.Close()
		return ErrClosed
	}
	<-ended
	return nil
}
