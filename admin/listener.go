package admin

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/reminder"
	"github.com/zmqauth/zmqauth/internal/unixpeer"
)

const (
	// maxClients is how many connections those who may use the socket have together.
	maxClients = 64
	// maxStrangers is how many all others have, to be told that they may not.
	maxStrangers = 8
)

// listener accepts connections, and knows from the kernel whose they are.
type listener struct {
	*net.UnixListener
	owner     int  // a user
	group     *int // nil: none
	log       *slog.Logger
	what      string        // it is, for the log
	clients   chan struct{} // a token for each connection
	strangers chan struct{} // the same
	refused   reminder.Events
}

// client is a connection.
type client struct {
	net.Conn
	unixpeer.Process // that has connected; zero where it is not known
	trusted          bool
	release          func() // once
}

func newListener(l *net.UnixListener, owner int, group *int, log *slog.Logger) *listener {
	return &listener{UnixListener: l, owner: owner, group: group, log: log,
		what: "control socket", clients: make(chan struct{}, maxClients),
		strangers: make(chan struct{}, maxStrangers)}
}

// Accept returns the next connection for which there is room. Those without are closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if c := l.admit(conn); c != nil {
			return c, nil
		}
		_ = conn.Close()
	}
}

// admit finds out whose a connection is. It returns nil where there is no room for it.
func (l *listener) admit(conn *net.UnixConn) *client {
	peer, err := unixpeer.Of(conn)
	if err != nil {
		return nil // it has gone, or the system does not say
	}
	trusted, room := l.trusts(peer), l.clients
	if !trusted {
		room = l.strangers
		if count, due := l.refused.Due(time.Now()); due {
			l.log.Warn("zmqauth: a process that may not use the "+l.what+" was refused",
				"uid", peer.UID, "pid", peer.PID, "times", count)
		}
	}
	select {
	case room <- struct{}{}:
	default:
		return nil
	}
	return &client{conn, peer, trusted, sync.OnceFunc(func() { <-room })}
}

// trusts tells whether a process may use the socket.
func (l *listener) trusts(p unixpeer.Process) bool {
	return p.UID == 0 || p.UID == l.owner ||
		l.group != nil && (p.GID == *l.group || slices.Contains(p.Groups, *l.group))
}

// Close closes a connection, and makes room for another.
func (c *client) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// clientKey is the key of the context of a request that has its client.
type clientKey struct{}

func withClient(ctx context.Context, conn net.Conn) context.Context {
	c, ok := clientBelow(conn)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, clientKey{}, c)
}

// clientOf returns who has sent the request with that context.
func clientOf(ctx context.Context) *client {
	c, _ := ctx.Value(clientKey{}).(*client)
	return c
}
