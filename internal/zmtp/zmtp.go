// Package zmtp speaks ZMTP 3.1 (RFC 37), the protocol of ZeroMQ's connections, with the mechanisms
// NULL and CURVE (RFC 26). It has what a program needs that accepts connections itself, so that it
// knows from the kernel whose they are, or that has to know whether its peer lives. Its peers may
// be sockets of libzmq. It knows messages, and no socket types.
package zmtp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
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

func (c *Conn) handshake(server bool) error {
	if err := c.greet(server); err != nil {
		return err
	}
	var properties []byte
	var err error
	switch {
	case c.cfg.Curve == nil:
		properties, err = c.shakeNull()
	case server:
		properties, err = c.shakeCurveServer()
	default:
		properties, err = c.shakeCurveClient()
	}
	if err != nil {
		return err
	}
	return c.checkPeer(properties)
}

const greetingSize = 64

// greet exchanges the greetings (RFC 37, "Greeting").
func (c *Conn) greet(server bool) error {
	mechanism := "NULL"
	if c.cfg.Curve != nil {
		mechanism = "CURVE"
	}
	ours := make([]byte, greetingSize)
	ours[0], ours[9], ours[10], ours[11] = 0xff, 0x7f, 3, 1
	copy(ours[12:32], mechanism)
	if server && c.cfg.Curve != nil {
		ours[32] = 1
	}
	if _, err := c.nc.Write(ours); err != nil {
		return err
	}
	theirs := make([]byte, greetingSize)
	if err := c.readFull(theirs); err != nil {
		return err
	}
	if theirs[0] != 0xff || theirs[9]&1 == 0 || theirs[10] < 3 {
		return errProtocol
	}
	if string(theirs[12:32]) != string(ours[12:32]) {
		return fmt.Errorf("zmtp: the peer's mechanism is %q, and this end's %s",
			trimZeros(theirs[12:32]), mechanism)
	}
	return nil // libzmq does not say which end is the server
}

func trimZeros(text []byte) []byte {
	if end := slices.Index(text, 0); end >= 0 {
		return text[:end]
	}
	return text
}

// shakeNull exchanges the READY commands, and returns the peer's properties.
func (c *Conn) shakeNull() (properties []byte, err error) {
	if err := c.writeCommand(append([]byte("\x05READY"), c.properties()...)); err != nil {
		return nil, err
	}
	command, err := c.readCommand("\x05READY")
	if err != nil {
		return nil, err
	}
	return command, nil
}

// properties are this end's own.
func (c *Conn) properties() []byte {
	const name = "Socket-Type"
	out := append([]byte{byte(len(name))}, name...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(c.cfg.SocketType)))
	return append(out, c.cfg.SocketType...)
}

// checkPeer checks the form of the peer's properties, and its socket type.
func (c *Conn) checkPeer(properties []byte) error {
	var kind string
	for len(properties) > 0 {
		name, rest, ok := cut(properties, int(properties[0]), 1)
		if !ok || len(rest) < 4 {
			return errProtocol
		}
		size := binary.BigEndian.Uint32(rest)
		if size > maxCommand {
			return errProtocol
		}
		value, rest, ok := cut(rest, int(size), 4)
		if !ok {
			return errProtocol
		}
		if string(name) == "Socket-Type" {
			kind = string(value)
		}
		properties = rest
	}
	if !slices.Contains(c.cfg.Peers, kind) {
		return fmt.Errorf("zmtp: the peer is a socket of type %.20q, want one of %v", kind, c.cfg.Peers)
	}
	return nil
}

// cut is what stands behind a head of that size, size bytes long, and what is behind that.
func cut(data []byte, size, head int) (found, rest []byte, ok bool) {
	if len(data) < head+size {
		return nil, nil, false
	}
	return data[head : head+size], data[head+size:], true
}

func (c *Conn) writeCommand(body []byte) error {
	_, err := c.nc.Write(appendFrame(nil, flagCommand, body))
	return err
}

// readCommand reads a command of the handshake, and returns what is behind its name.
func (c *Conn) readCommand(name string) ([]byte, error) {
	flags, size, err := c.readHead()
	if err != nil {
		return nil, err
	}
	if flags&flagCommand == 0 || size > maxCommand {
		return nil, errProtocol
	}
	body := make([]byte, size)
	if err := c.readFull(body); err != nil {
		return nil, err
	}
	if len(body) < len(name) || string(body[:len(name)]) != name {
		if len(body) >= 6 && string(body[:6]) == "\x05ERROR" {
			return nil, errors.New("zmtp: the peer has refused this end")
		}
		return nil, errProtocol
	}
	return body[len(name):], nil
}

// appendFrame appends a frame to dst.
func appendFrame(dst []byte, flags byte, body []byte) []byte {
	if len(body) > 255 {
		dst = append(dst, flags|flagLong)
		dst = binary.BigEndian.AppendUint64(dst, uint64(len(body)))
	} else {
		dst = append(dst, flags, byte(len(body)))
	}
	return append(dst, body...)
}

func (c *Conn) readFull(into []byte) error {
	for read := 0; read < len(into); {
		n, err := c.reader.Read(into[read:])
		if read += n; err != nil && read < len(into) {
			return err
		}
	}
	return nil
}

// readHead reads the flags and the size of a frame.
func (c *Conn) readHead() (flags byte, size uint64, err error) {
	if flags, err = c.reader.ReadByte(); err != nil {
		return 0, 0, err
	}
	if flags&flagLong == 0 {
		short, err := c.reader.ReadByte()
		return flags, uint64(short), err
	}
	var long [8]byte
	if err = c.readFull(long[:]); err != nil {
		return 0, 0, err
	}
	return flags, binary.BigEndian.Uint64(long[:]), nil
}

// Heard is when the last byte of a frame has come from the peer.
func (c *Conn) Heard() time.Time { return epoch.Add(time.Duration(c.heard.Load())) }

func (c *Conn) hear() { c.heard.Store(int64(time.Since(epoch))) }

// epoch is a time with a reading of the monotonic clock.
var epoch = time.Now()

// Receive waits for a message and returns its frames, which are the caller's. It answers the pings
// of the peer. heard, unless it is nil, is called whenever something has come.
func (c *Conn) Receive(heard func()) (frames [][]byte, err error) {
	var buffer []byte
	sizes := make([]int, 0, 12)
	for {
		flags, size, err := c.readHead()
		if err != nil {
			return nil, err
		}
		limit := uint64(c.cfg.MaxMessage - len(buffer) + sealedExtra)
		if size > limit {
			return nil, fmt.Errorf("zmtp: a message of more than %d bytes", c.cfg.MaxMessage)
		}
		start := len(buffer)
		buffer = slices.Grow(buffer, int(size))[:start+int(size)]
		if err := c.readFull(buffer[start:]); err != nil {
			return nil, err
		}
		if c.cipher != nil {
			opened, inner, err := c.cipher.open(buffer[start:])
			if err != nil {
				return nil, err
			}
			buffer = buffer[:start+copy(buffer[start:], opened)]
			flags = inner
		}
		c.hear()
		if heard != nil {
			heard()
		}
		if flags&flagCommand != 0 {
			if err := c.command(buffer[start:]); err != nil {
				return nil, err
			}
			buffer = buffer[:start]
			continue
		}
		if len(sizes) == c.cfg.MaxFrames {
			return nil, fmt.Errorf("zmtp: a message of more than %d frames", c.cfg.MaxFrames)
		}
		if sizes = append(sizes, len(buffer)-start); flags&flagMore == 0 {
			return split(buffer, sizes), nil
		}
	}
}

func split(buffer []byte, sizes []int) [][]byte {
	frames := make([][]byte, len(sizes))
	for i, size := range sizes {
		frames[i] = buffer[:size:size]
		buffer = buffer[size:]
	}
	return frames
}

// command does what a command says. Those that ZMTP does not need are ignored.
func (c *Conn) command(body []byte) error {
	const ping = "\x04PING"
	if len(body) >= len(ping)+2 && string(body[:len(ping)]) == ping {
		const maxContext = 16
		if len(body) > len(ping)+2+maxContext {
			return errProtocol
		}
		return c.send(flagCommand, append([]byte("\x04PONG"), body[len(ping)+2:]...))
	}
	return nil
}

// Ping asks the peer for a sign of life. The error is that of Send.
func (c *Conn) Ping() error { return c.send(flagCommand, []byte("\x04PING\x00\x00")) }

// Send queues a message, and never waits. ErrFull closes the connection: other errors say that it
// is closed.
func (c *Conn) Send(frames ...[][]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0
	for _, part := range frames {
		total += len(part)
	}
	for _, part := range frames {
		for _, frame := range part {
			flags := byte(flagMore)
			if total--; total == 0 {
				flags = 0
			}
			if err := c.append(flags, frame); err != nil {
				return err
			}
		}
	}
	c.poke()
	return nil
}

func (c *Conn) send(flags byte, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.append(flags, body); err != nil {
		return err
	}
	c.poke()
	return nil
}

// append adds a frame to what is unsent. The caller holds mu.
func (c *Conn) append(flags byte, body []byte) error {
	if c.ended {
		return net.ErrClosed
	}
	if len(c.unsent)+len(body) > c.cfg.MaxUnsent {
		c.end()
		return ErrFull
	}
	if c.cipher != nil {
		c.unsent = c.cipher.seal(c.unsent, flags, body)
	} else {
		c.unsent = appendFrame(c.unsent, flags, body)
	}
	return nil
}

func (c *Conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// keptBuffer is how large a buffer is worth keeping.
const keptBuffer = 64 << 10

// write is the goroutine that writes. What it has written is erased: there may be a password.
func (c *Conn) write() {
	var spare []byte
	for {
		select {
		case <-c.closed:
			return
		case <-c.wake:
		}
		c.mu.Lock()
		batch := c.unsent
		c.unsent = spare[:0]
		c.mu.Unlock()
		_, err := c.nc.Write(batch)
		clear(batch)
		if spare = batch; cap(spare) > keptBuffer {
			spare = nil
		}
		if err != nil {
			c.mu.Lock()
			c.end()
			c.mu.Unlock()
			return
		}
	}
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

// SetReadDeadline is that of net.Conn, for Receive.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// Close ends the connection, and waits for its goroutine. What is unsent is lost.
func (c *Conn) Close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.writer.Wait()
}
