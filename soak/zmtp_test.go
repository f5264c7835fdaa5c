package soak

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// This file has the parts of ZMTP 3.1 (RFC 37) as bytes: greeting, commands and messages.

const (
	greetingSize  = 64
	mechanismSize = 20
	flagMore      = 1
	flagLong      = 2
	flagCommand   = 4
)

// greeting returns the first bytes of a client: signature, version and mechanism.
func greeting(major, minor byte, mechanism string) []byte {
	g := make([]byte, greetingSize)
	g[0], g[9], g[10], g[11] = 0xff, 0x7f, major, minor
	copy(g[12:12+mechanismSize], mechanism)
	return g
}

// frame returns the frame of a command or a message: flags, size and body.
func frame(flags byte, body []byte) []byte {
	if len(body) < 256 {
		return append([]byte{flags, byte(len(body))}, body...)
	}
	return append(binary.BigEndian.AppendUint64([]byte{flags | flagLong}, uint64(len(body))), body...)
}

func message(text string) []byte { return frame(0, []byte(text)) }

func command(name string, data ...byte) []byte {
	return frame(flagCommand, append(append([]byte{byte(len(name))}, name...), data...))
}

// property returns a property of metadata.
func property(name, value string) []byte {
	p := append([]byte{byte(len(name))}, name...)
	return append(binary.BigEndian.AppendUint32(p, uint32(len(value))), value...)
}

func hello(username, password string) []byte {
	data := append([]byte{byte(len(username))}, username...)
	return command("HELLO", append(append(data, byte(len(password))), password...)...)
}

// wire is a connection to a server.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// connectionTime is the deadline of a connection. The server gives it much less time for the
// handshake.
const connectionTime = 3 * handshakeTime

// dial connects to the server from an address.
func (h *server) dial(source string) (*wire, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: patience}
	connection, err := dialer.Dial("tcp", h.address)
	if err != nil {
		return nil, err
	}
	_ = connection.SetDeadline(time.Now().Add(connectionTime))
	return &wire{connection, bufio.NewReader(connection)}, nil
}

// say sends parts one after the other.
func (w *wire) say(parts ...[]byte) error {
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// greet sends a greeting of ZMTP 3.1 and then the parts.
func (w *wire) greet(mechanism string, parts ...[]byte) error {
	return w.say(append([][]byte{greeting(3, 1, mechanism)}, parts...)...)
}

// hearGreeting reads the greeting of the server.
func (w *wire) hearGreeting() error {
	_, err := io.ReadFull(w.in, make([]byte, greetingSize))
	return err
}

var errNotThat = errors.New("something else came")

// hear reads a command, which must have the name.
func (w *wire) hear(name string) error {
	flags, err := w.in.ReadByte()
	if err != nil {
		return err
	}
	size := make([]byte, 1)
	if flags&flagLong != 0 {
		size = make([]byte, 8)
	}
	if _, err := io.ReadFull(w.in, size); err != nil {
		return err
	}
	length := uint64(size[0])
	if len(size) > 1 {
		length = binary.BigEndian.Uint64(size)
	}
	body := make([]byte, min(length, 1<<20))
	if _, err := io.ReadFull(w.in, body); err != nil {
		return err
	}
	if flags&flagCommand == 0 || len(body) <= len(name) || string(body[1:1+len(name)]) != name {
		return fmt.Errorf("%w: flags %d, %.100q, not %s", errNotThat, flags, body, name)
	}
	return nil
}

// untilCut reads until the server ends the connection. It returns false if the server does not.
func (w *wire) untilCut() bool {
	_, err := io.Copy(io.Discard, w.in)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// handshake does the whole handshake of a PLAIN client, or of a NULL client. It sets properties
// that only the server may set.
func (w *wire) handshake(mechanism, username, password string) error {
	claims := append(property("Socket-Type", "PUSH"), property("Identity", "")...)
	for _, claim := range [][]byte{
		property("Role", "admin"),
		property("User-Id", "root"),
		property("Peer-Address", "192.0.2.1"),
	} {
		claims = append(claims, claim...)
	}
	if err := errors.Join(w.say(greeting(3, 1, mechanism)), w.hearGreeting()); err != nil {
		return err
	}
	if mechanism == "NULL" {
		return errors.Join(w.say(command("READY", claims...)), w.hear("READY"))
	}
	if err := w.say(hello(username, password)); err != nil {
		return err
	}
	if err := w.hear("WELCOME"); err != nil {
		return err
	}
	return errors.Join(w.say(command("INITIATE", claims...)), w.hear("READY"))
}
