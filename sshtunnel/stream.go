package sshtunnel

import (
	"context"
	"time"

	"golang.org/x/crypto/ssh"
)

// streamTimeout is how long a stream waits for the tunnel: as long as libzmq waits for a handshake.
const streamTimeout = 30 * time.Second

// stream is one SSH channel to a remote.
type stream struct {
	ssh.Channel
	conn *connection
	gone chan struct{} // closed when the channel is closed in both directions
}

func newStream(c *connection, channel ssh.Channel, requests <-chan *ssh.Request) *stream {
	s := &stream{Channel: channel, conn: c, gone: make(chan struct{})}
	go func() {
		ssh.DiscardRequests(requests)
		close(s.gone)
	}()
	return s
}

// open opens a stream. An *ssh.OpenChannelError is the server's answer. Any other error is about
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
		results <- result{stream: newStream(c, channel, requests)}
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
