package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// The greeting of ZMTP 3 (RFC 37, "Greeting"), in bytes.
const (
	signatureSize = 10
	mechanismAt   = 12
	asServerAt    = 32
	greetingSize  = 64
)

// greet reads the server's greeting, and returns the mechanism in it.
func (x *examination) greet(ctx context.Context, mechanism string) (theirs string, ok bool) {
	conn, err := x.connect(ctx)
	if err != nil {
		return "", x.add(StepGreeting, Bad, "the server takes no second connection: "+plain(err),
			tryClosed)
	}
	x.Local = conn.LocalAddr()
	said, err := exchange(conn, mechanism, x.share)
	_ = conn.Close()
	switch {
	case len(said) == greetingSize && isZMTP(said) && said[10] >= 3:
		name, _, _ := bytes.Cut(said[mechanismAt:asServerAt], []byte{0})
		seen := fmt.Sprintf("ZeroMQ: ZMTP %d.%d, mechanism %s", said[10], said[11], shown(name))
		if said[asServerAt] == 1 {
			seen += ", as server"
		}
		return string(name), x.add(StepGreeting, Good, seen, "")
	case len(said) > signatureSize && isZMTP(said) && said[10] < 3,
		len(said) >= 2 && said[0] == 1 && said[1] == 0:
		return "", x.add(StepGreeting, Bad, "ZeroMQ of an old version: no ZMTP 3", tryOld)
	case len(said) > 0 && isZMTP(said):
		return "", x.add(StepGreeting, Bad, fmt.Sprintf("ZeroMQ, but the greeting ends after %d of 64 "+
			"bytes: %s", len(said), ending(err)), tryCutGreeting)
	case len(said) > 0:
		seen, try := name(said)
		return "", x.add(StepGreeting, Bad, seen, try)
	}
	if seen, try := x.ask(ctx); seen != "" {
		return "", x.add(StepGreeting, Bad, seen, try)
	}
	if isTimeout(err) {
		return "", x.add(StepGreeting, Bad, "the port accepts connections and says nothing", trySilence)
	}
	return "", x.add(StepGreeting, Bad, "the port accepts connections and closes them at once",
		tryClosed)
}

// exchange sends the beginning of a greeting, and reads the server's. libzmq sends its mechanism
// when it knows the client's version, and closes the connection when it knows another mechanism. So
// the client's is sent only where the server waits for it.
func exchange(conn net.Conn, mechanism string, limit time.Duration) (said []byte, err error) {
	ours := make([]byte, greetingSize)
	ours[0], ours[9], ours[10], ours[11] = 0xff, 0x7f, 3, 0
	copy(ours[mechanismAt:asServerAt], mechanism)
	said = make([]byte, greetingSize)
	end := time.Now().Add(limit)
	if err := conn.SetDeadline(time.Now().Add(limit / 2)); err != nil {
		return nil, err
	}
	_, _ = conn.Write(ours[:mechanismAt]) // a failure shows when reading, behind what has come
	n, err := io.ReadFull(conn, said)
	if n < greetingSize && isTimeout(err) && (n == 0 || isZMTP(said[:n])) {
		if err := conn.SetDeadline(end); err != nil {
			return said[:n], err
		}
		_, _ = conn.Write(ours[mechanismAt:])
		var more int
		more, err = io.ReadFull(conn, said[n:])
		n += more
	}
	return said[:n], err
}

func isZMTP(said []byte) bool {
	return said[0] == 0xff && (len(said) < signatureSize || said[9]&1 == 1)
}

func ending(err error) string {
	if isTimeout(err) {
		return "the rest does not come"
	}
	return "the server has closed the connection"
}

// name says what a port speaks that is no ZeroMQ.
func name(said []byte) (seen, try string) {
	text := shown(said)
	switch {
	case bytes.HasPrefix(said, []byte("HTTP/")):
		return "not ZeroMQ: HTTP: " + text, tryOther
	case bytes.HasPrefix(said, []byte("SSH-")):
		return "not ZeroMQ: SSH: " + text, trySSH
	case len(said) > 2 && said[0] >= 0x14 && said[0] <= 0x17 && said[1] == 3:
		return "not ZeroMQ: TLS: the port answers with a record of TLS", tryTLS
	}
	return "not ZeroMQ: it says " + text, tryOther
}

// shown is the first line of what a peer has sent, quoted.
func shown(said []byte) string {
	line, _, _ := strings.Cut(string(said), "\n")
	line = strings.TrimRight(line, "\r")
	if isMechanism(line) {
		return line
	}
	return fmt.Sprintf("%+.60q", line)
}

// ask asks a port that says nothing whether it speaks TLS or HTTP. seen is empty where it speaks
// neither.
func (x *examination) ask(ctx context.Context) (seen, try string) {
	if x.speaksTLS(ctx) {
		return "not ZeroMQ: TLS: the port answers a handshake of TLS", tryTLS
	}
	conn, err := x.connect(ctx)
	if err != nil {
		return "", ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(x.share / 2))
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	said := make([]byte, greetingSize)
	n, _ := io.ReadAtLeast(conn, said, len("HTTP/"))
	if n == 0 {
		return "", ""
	}
	return name(said[:n])
}

// speaksTLS tells whether a port answers TLS. Nothing is sent through it, so no certificate is
// checked.
func (x *examination) speaksTLS(ctx context.Context) bool {
	conn, err := x.connect(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(x.share / 2))
	config := &tls.Config{InsecureSkipVerify: true, ServerName: x.at.Host}
	err = tls.Client(conn, config).HandshakeContext(ctx)
	_, isAlert := errors.AsType[tls.AlertError](err)
	fault, isOp := errors.AsType[*net.OpError](err)
	return err == nil || isAlert || isOp && fault.Op == "remote error" // an alert of the peer
}
