package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// This is an own SOCKS server, because it needs little of the protocol. The modules that have one
// are not kept, or were not to be had.

const (
	// maxSOCKS is how many connections one SOCKS proxy serves at a time, and how many ServeSOCKS
	// serves. Further ones wait.
	maxSOCKS = 1024
	// socksTime is how long a client may take to say what it wants.
	socksTime = 10 * time.Second
)

// The numbers of the protocol (RFC 1928).
const (
	socksVersion = 5
	socksNoLogin = 0
	socksRefused = 0xff // no acceptable method
	socksConnect = 1

	socksIPv4 = 1
	socksName = 3
	socksIPv6 = 4

	socksDone          = 0
	socksFailed        = 1
	socksProhibited    = 2
	socksUnreachable   = 5 // the connection was refused
	socksNoCommand     = 7
	socksNoAddressType = 8
)

// socksError is why a client is refused.
type socksError struct {
	reply byte // 0: the connection is closed without one
	what  string
}

func (e *socksError) Error() string { return e.what }

// SOCKS returns a local endpoint that is a SOCKS5 proxy: a client names a host and port, and is
// connected to them as the SSH server reaches them, which also resolves the name. local is as for
// [Tunnel.ForwardTo]. There is no login: whoever can connect to the endpoint can connect to
// whatever the SSH server reaches.
//
// The proxy serves CONNECT alone, and at most 1024 connections at a time; further ones wait. It
// lasts until Close, also while the connection is down. Then a client waits for half a minute.
//
// ZMQ_SOCKS_PROXY of libzmq takes the endpoint without "tcp://".
func (t *Tunnel) SOCKS(local string) (endpoint string, err error) {
	at, err := parseLocal(local)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return "", ErrClosed
	}
	l, err := t.listen(at, "proxy", "SOCKS", t.serveSOCKS, maxSOCKS)
	if err != nil {
		return "", fmt.Errorf("sshtunnel: a local endpoint for SOCKS: %w", inner{err})
	}
	return l.endpoint, nil
}

// serveSOCKS serves one client.
func (t *Tunnel) serveSOCKS(local localEnd) {
	s, err := t.answerSOCKS(local)
	if err != nil {
		t.logger.Debug("sshtunnel: a client of the SOCKS proxy is not served", "error", err)
		_ = local.Close()
		return
	}
	s.pipe(local, unknownOwner{})
}

// answerSOCKS lets a client say what it wants, and opens the stream.
func (t *Tunnel) answerSOCKS(local localEnd) (*stream, error) {
	if err := local.SetDeadline(time.Now().Add(socksTime)); err != nil {
		return nil, err
	}
	to, err := readSOCKS(local)
	if err != nil {
		var fault *socksError
		if errors.As(err, &fault) && fault.reply != 0 {
			_ = writeSOCKS(local, fault.reply)
		}
		return nil, err
	}
	if err := local.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, streamTimeout)
	defer cancel()
	s, err := t.open(ctx, to)
	if err != nil {
		_ = local.SetDeadline(time.Now().Add(socksTime))
		_ = writeSOCKS(local, socksReply(err))
		return nil, err
	}
	if err := writeSOCKS(local, socksDone); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// readSOCKS reads the greeting, answers it, and reads the request.
func readSOCKS(client io.ReadWriter) (remote, error) {
	var start [2]byte // version, number of methods
	if _, err := io.ReadFull(client, start[:]); err != nil {
		return remote{}, err
	}
	if start[0] != socksVersion {
		return remote{}, &socksError{0, fmt.Sprintf("the version %d of SOCKS, want 5", start[0])}
	}
	methods := make([]byte, start[1])
	if _, err := io.ReadFull(client, methods); err != nil {
		return remote{}, err
	}
	chosen := byte(socksRefused)
	for _, method := range methods {
		if method == socksNoLogin {
			chosen = socksNoLogin
		}
	}
	if _, err := client.Write([]byte{socksVersion, chosen}); err != nil {
		return remote{}, err
	}
	if chosen == socksRefused {
		return remote{}, &socksError{0, "the client wants a login, which there is not"}
	}
	return readSOCKSRequest(client)
}

// readSOCKSRequest reads what the client wants to be connected to.
func readSOCKSRequest(client io.Reader) (remote, error) {
	var head [4]byte // version, command, reserved, type of the address
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return remote{}, err
	}
	length := 0
	switch head[3] {
	case socksIPv4:
		length = net.IPv4len
	case socksIPv6:
		length = net.IPv6len
	case socksName:
		var size [1]byte
		if _, err := io.ReadFull(client, size[:]); err != nil {
			return remote{}, err
		}
		length = int(size[0])
	}
	rest := make([]byte, length+2)
	switch {
	case head[0] != socksVersion:
		return remote{}, &socksError{0, "not a request"}
	case length == 0:
		return remote{}, &socksError{socksNoAddressType, "an unknown type of address"}
	case head[1] != socksConnect:
		return remote{}, &socksError{socksNoCommand, fmt.Sprintf("the command %d, want 1", head[1])}
	}
	if _, err := io.ReadFull(client, rest); err != nil {
		return remote{}, err
	}
	host := string(rest[:length])
	if head[3] != socksName {
		host = net.IP(rest[:length]).String()
	}
	port := int(rest[length])<<8 | int(rest[length+1])
	to, err := parseRemote("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return remote{}, &socksError{socksFailed, err.Error()}
	}
	return to, nil
}

// writeSOCKS writes a reply. Its address is empty: it would be one of the SSH server.
func writeSOCKS(client io.Writer, reply byte) error {
	_, err := client.Write([]byte{socksVersion, reply, 0, socksIPv4, 0, 0, 0, 0, 0, 0})
	return err
}

// socksReply returns the reply for an error of open.
func socksReply(err error) byte {
	var answer *ssh.OpenChannelError
	switch {
	case !errors.As(err, &answer):
		return socksFailed
	case answer.Reason == ssh.Prohibited:
		return socksProhibited
	case answer.Reason == ssh.ConnectionFailed:
		return socksUnreachable
	}
	return socksFailed
}
