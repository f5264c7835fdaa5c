// Package zmtp speaks ZMTP 3.1 (RFC 37), the protocol of ZeroMQ's connections, with the mechanisms
// NULL and CURVE (RFC 26). It has what a program needs that accepts connections itself, so that it
// knows from the kernel whose they are, or that has to know whether its peer lives. Its peers may
// be sockets of libzmq. It knows messages, and no socket types.
package zmtp

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a connection is. Client and Server copy it.
type Config struct {
	SocketType string   // this end's, such as DEALER
	Peers      []string // the socket types of the other end; no other is accepted

	// Curve has the keys. nil: the mechanism is NULL, which is for Unix sockets.
	Curve *Curve

	MaxFrames  int // of a message
	MaxMessage int // bytes of a message, all frames together
	MaxUnsent  int // bytes of messages that wait to be written

	// HandshakeTime is how long the handshake may take; at least a nanosecond.
	HandshakeTime time.Duration
}

var (
	// ErrFull says that the other end does not take what is sent to it.
	ErrFull = errors.New("zmtp: the peer does not take its messages")
	// ErrKey says that the peer has a key that is not accepted.
	ErrKey = errors.New("zmtp: the peer's key is not accepted")

	errProtocol = errors.New("zmtp: not ZMTP 3")
)

// Conn is a connection whose handshake has succeeded. One goroutine may call Receive, and any
// goroutine the other methods.
type Conn struct {
	nc     net.Conn
	cfg    Config
	reader *bufio.Reader
	cipher *cipher // nil: the mechanism is NULL
	heard  atomic.Int64

	mu     sync.Mutex // guards what follows, and the sealing half of cipher
	unsent []byte
	wake   chan struct{} // has a token while there may be something unsent
	closed chan struct{}
	ended  bool
	writer sync.WaitGroup
}

// Flags of frames (RFC 37, "Framing").
const (
	flagMore    = 1
	flagLong    = 2
	flagCommand = 4
)

// maxCommand is the largest command of a handshake in bytes. The metadata of a peer has some
// hundred.
const maxCommand = 4096

// readBuffer is how much is read at once.
const readBuffer = 32 << 10

// Client makes the handshake of the end that has connected. An error closes nc.
func Client(nc net.Conn, cfg Config) (*Conn, error) { return newConn(nc, cfg, false) }

// Server makes the handshake of the end that has accepted. An error closes nc.
func Server(nc net.Conn, cfg Config) (*Conn, error) { return newConn(nc, cfg, true) }

func newConn(nc net.Conn, cfg Config, server bool) (*Conn, error) {
	c := &Conn{nc: nc, cfg: cfg, reader: bufio.NewReaderSize(nc, readBuffer),
		wake: make(chan struct{}, 1), closed: make(chan struct{})}
	err := nc.SetDeadline(time.Now().Add(cfg.HandshakeTime))
	if err == nil {
		err = c.handshake(server)
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	c.hear()
	c.writer.Go(c.write)
	return c, nil
}

// SetReadDeadline is that of net.Conn, for Receive.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// Close ends the connection, and waits for its goroutine. What is unsent is lost.
func (c *Conn) Close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.writer.Wait()
}

// end closes the connection. The caller holds mu.
func (c *Conn) end() {
	if !c.ended {
		c.ended = true
		close(c.closed)
		_ = c.nc.Close()
		clear(c.unsent)
	}
}
