package zmtp

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"time"
)

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
