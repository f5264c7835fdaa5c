package zmtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

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
