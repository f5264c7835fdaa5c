package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// How long what was written before Close may take to get out.
const streamLinger = time.Minute

// streamConn is the net.Conn of a stream: one end of a socket pair, so that deadlines, half-closing
// and Close are those that the system has.
type streamConn struct {
	near
	stream *stream
	remote net.Addr
	linger time.Duration

	lingered chan struct{} // closed when the time after Close is over

	mu     sync.Mutex
	closed bool
	ended  bool        // the stream
	timer  *time.Timer // of a stream that is closed and has not ended yet
	cause  error       // why it was cut off
}

// newStreamConn returns the connection, and the end that the stream is to be piped to.
func newStreamConn(s *stream, to remote, linger time.Duration) (*streamConn, near, error) {
	here, far, err := socketPair()
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	conn := &streamConn{
		near: here, stream: s, remote: to.addr(), linger: linger, lingered: make(chan struct{}),
	}
	return conn, far, nil
}

// run carries what goes through the connection until both ways have ended.
func (c *streamConn) run(far near) {
	c.stream.pipe(far, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

func (c *streamConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *streamConn) expired() <-chan struct{} { return c.lingered }

// cut takes note of why the stream is cut off.
func (c *streamConn) cut(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = err
	}
}

// Read returns the reason instead of io.EOF where the stream was cut off.
func (c *streamConn) Read(p []byte) (int, error) {
	n, err := c.near.Read(p)
	return n, c.explain(err)
}

// Write returns the reason where the stream was cut off.
func (c *streamConn) Write(p []byte) (int, error) {
	n, err := c.near.Write(p)
	return n, c.explain(err)
}

func (c *streamConn) explain(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil || c.closed {
		return err
	}
	return c.cause
}

// Close closes the connection. What was written before still goes out, if the far end takes it in
// time.
func (c *streamConn) Close() error {
	c.mu.Lock()
	if !c.closed && !c.ended {
		c.timer = time.AfterFunc(c.linger, func() { close(c.lingered) })
	}
	c.closed = true
	c.mu.Unlock()
	return c.near.Close()
}

// RemoteAddr is the address that was dialled.
func (c *streamConn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr has no address: the far end sees the SSH server's.
func (c *streamConn) LocalAddr() net.Addr { return addr{c.remote.Network(), ""} }
