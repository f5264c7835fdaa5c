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

// open opens a stream. An *ssh.OpenChannelError is the server's answer; any other error is about
// the connection.
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

// holder is who has the near end of a stream.
type holder interface {
	isClosed() bool           // the near end was closed for good
	expired() <-chan struct{} // closed when what was written before that has had its time to get out
	cut(reason error)         // the stream is about to end, because the connection is lost
}

// nobody is the holder of a near end that another program has, of which nothing is known.
type nobody struct{}

func (nobody) isClosed() bool           { return false }
func (nobody) expired() <-chan struct{} { return nil }
func (nobody) cut(error)                {}

// pipe carries bytes both ways until both have ended, and then closes both ends. The end of one way
// is passed on, the other goes on.
func (s *stream) pipe(local near, of holder) {
	up, down := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(up)
		s.carryUp(local, of)
	}()
	go func() {
		defer close(down)
		s.carryDown(local, of)
	}()
	select {
	case <-down:
		select {
		case <-up:
		case <-s.gone: // what comes from here now has nowhere to go
			_ = local.Close()
			<-up
		case <-of.expired():
		}
	case <-of.expired():
		// x/crypto waits until the far end takes what was sent before, or the connection ends; both
		// goroutines do, but nobody else needs to.
	}
	_ = s.Close()
	_ = local.Close()
}

func (s *stream) carryUp(local near, of holder) {
	source := &reader{Reader: local}
	_, err := io.Copy(s.Channel, source)
	switch {
	case source.err != nil || err == nil && of.isClosed():
		_ = s.Close()
	case err == nil:
		_ = s.CloseWrite()
	} // else the channel is closed, and the other way ends by itself
}

func (s *stream) carryDown(local near, of holder) {
	if _, err := io.Copy(local, s.Channel); err != nil { // nobody is there to read
		_ = s.Close()
	} else if err := s.conn.cutOff(); err != nil {
		of.cut(err)
		drop(local)
	} else {
		_ = local.CloseWrite()
	}
}

// reader takes note of an error other than io.EOF.
type reader struct {
	io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// drop closes the near end so that, over TCP, it does not look like an end.
func drop(local near) {
	if tcp, ok := local.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = local.Close()
}
