package sshtunnel

import (
	"context"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// How long a stream waits for the tunnel: as long as libzmq waits for a handshake.
const streamPatience = 30 * time.Second

// stream is one SSH channel to a remote.
type stream struct {
	ssh.Channel
	conn *connection
	gone chan struct{} // closed when nothing goes either way any more
}

// open opens a stream. An *ssh.OpenChannelError is the server's answer; any other error is about the connection.
func (c *connection) open(ctx context.Context, to remote) (*stream, error) {
	type result struct {
		stream *stream
		err    error
	}
	results := make(chan result, 1)
	go func() {
		kind, payload := to.channel()
		channel, requests, err := c.client().OpenChannel(kind, payload)
		if err != nil {
			results <- result{err: err}
			return
		}
		s := &stream{Channel: channel, conn: c, gone: make(chan struct{})}
		go func() {
			ssh.DiscardRequests(requests)
			close(s.gone)
		}()
		results <- result{stream: s}
	}()
	select {
	case r := <-results:
		return r.stream, r.err
	case <-c.done:
		return nil, c.failure
	case <-ctx.Done():
		go func() { // the server may still answer
			if r := <-results; r.stream != nil {
				_ = r.stream.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// near is this machine's end of a stream.
type near interface {
	net.Conn
	CloseWrite() error
}

// pipe carries bytes both ways until both have ended, and then closes both ends. The end of one way is passed on, the
// other goes on. abandoned tells whether the near end was closed for good when it ended. It returns why the stream was cut
// off: an end of file that is not followed by a sign of life of the connection is one that the loss of it has made. cut is
// called with that before the near end is closed.
func (s *stream) pipe(local near, abandoned func() bool, cut func(error)) {
	up := make(chan struct{})
	go func() {
		defer close(up)
		if _, err := io.Copy(s.Channel, local); err != nil || abandoned() {
			_ = s.Close()
			return
		}
		_ = s.CloseWrite()
	}()
	if _, err := io.Copy(local, s.Channel); err != nil { // nobody is there to read
		_ = s.Close()
	} else if err := s.confirm(); err != nil {
		cut(err)
		drop(local)
	} else {
		_ = local.CloseWrite()
	}
	select {
	case <-up:
	case <-s.gone: // what comes from here now has nowhere to go
		_ = local.Close()
		<-up
	}
	_ = s.Close()
	_ = local.Close()
}

// confirm tells that the far end has ended the stream, and not the loss of the connection.
func (s *stream) confirm() error {
	ctx, cancel := context.WithTimeout(context.Background(), streamPatience)
	defer cancel()
	return s.conn.confirm(ctx)
}

// drop closes the near end so that, over TCP, it does not look like an end.
func drop(local near) {
	if tcp, ok := local.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = local.Close()
}
