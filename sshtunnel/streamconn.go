package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// lingerTime is how long data that was written before Close may take to be delivered.
const lingerTime = time.Minute

// streamConn is the net.Conn of a stream. It is one end of a socket pair, so that deadlines,
// half-close and Close work as the system does them.
type streamConn struct {
	localEnd
	stream *stream
	remote net.Addr
	linger time.Duration

	lingered chan struct{} // closed when the linger time after Close is over

	mu     sync.Mutex
	closed bool
	ended  bool        // the stream has ended
	timer  *time.Timer // runs while closed and not ended
	cause  error       // why it was cut off
}

// newStreamConn returns the connection, and the other end, which must be piped to the stream.
func newStreamConn(s *stream, to remote, linger time.Duration) (*streamConn, localEnd, error) {
	here, far, err := socketPair()
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	conn := &streamConn{
		localEnd: here, stream: s, remote: to.addr(), linger: linger, lingered: make(chan struct{}),
	}
	return conn, far, nil
}

// run copies data between the stream and far until both directions have ended.
func (c *streamConn) run(far localEnd) {
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

// cut records why the stream is cut off.
func (c *streamConn) cut(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = err
	}
}

// Read returns the reason instead of io.EOF if the stream was cut off.
func (c *streamConn) Read(p []byte) (int, error) {
	n, err := c.localEnd.Read(p)
	return n, c.explain(err)
}

// Write returns the reason if the stream was cut off.
func (c *streamConn) Write(p []byte) (int, error) {
	n, err := c.localEnd.Write(p)
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

// Close closes the connection. Data that was written before is still delivered if the far end takes
// it in time.
func (c *streamConn) Close() error {
	c.mu.Lock()
	if !c.closed && !c.ended {
		c.timer = time.AfterFunc(c.linger, func() { close(c.lingered) })
	}
	c.closed = true
	c.mu.Unlock()
	return c.localEnd.Close()
}

// RemoteAddr returns the address that was dialled.
func (c *streamConn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr returns an empty address: the far end sees an address of the SSH server.
func (c *streamConn) LocalAddr() net.Addr { return addr{c.remote.Network(), ""} }
