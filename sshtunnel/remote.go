package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// remote is where a stream leads to at the far end: a TCP port or a Unix socket that the SSH server
// can reach.
type remote struct {
	host string
	port int
	path string // of a Unix socket; "": a TCP port
}

// parseEndpoint reads a ZeroMQ endpoint: tcp://host:port or ipc:///path.
func parseEndpoint(endpoint string) (remote, error) {
	transport, address, ok := strings.Cut(endpoint, "://")
	var r remote
	var err error
	switch {
	case !ok:
		err = errors.New("not an endpoint; it looks like tcp://host:port")
	case transport == "tcp":
		r, err = parseRemote("tcp", address)
	case transport == "ipc":
		r, err = parseRemote("unix", address)
	default:
		err = errors.New("only tcp and ipc go through SSH")
	}
	if err != nil {
		return remote{}, fmt.Errorf("sshtunnel: endpoint %q: %w", endpoint, err)
	}
	return r, nil
}

// parseRemote reads what net.Dial would take.
func parseRemote(network, address string) (remote, error) {
	switch network {
	case "tcp":
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return remote{}, errors.New("not host:port")
		}
		if host == "" || strings.ContainsFunc(host, notInHost) {
			return remote{}, fmt.Errorf("%q is not a host to connect to", host)
		}
		number, err := parsePort(port)
		if err != nil {
			return remote{}, err
		}
		return remote{host: host, port: number}, nil
	case "unix":
		if !strings.HasPrefix(address, "/") || strings.ContainsRune(address, 0) {
			return remote{}, fmt.Errorf("%q is not the absolute path of a socket", address)
		}
		return remote{path: address}, nil
	}
	return remote{}, net.UnknownNetworkError(network)
}

// notInHost tells whether a character has no place in a host: a wildcard, or part of something else
// that libzmq knows.
func notInHost(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("*;/@", r) }

// String is the remote as an endpoint; equal remotes have equal ones.
func (r remote) String() string {
	if r.path != "" {
		return "ipc://" + r.path
	}
	return "tcp://" + net.JoinHostPort(r.host, strconv.Itoa(r.port))
}

// Network and address of a net.Addr.
func (r remote) addr() net.Addr {
	if r.path != "" {
		return addr{"unix", r.path}
	}
	return addr{"tcp", net.JoinHostPort(r.host, strconv.Itoa(r.port))}
}

type addr struct{ network, address string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.address }

// channel is the kind of SSH channel that leads there, and what it is opened with: RFC 4254,
// section 7.2, and OpenSSH's PROTOCOL, section 2.4.
func (r remote) channel() (kind string, payload []byte) {
	if r.path != "" {
		return "direct-streamlocal@openssh.com", ssh.Marshal(struct {
			Path     string
			Reserved string
			Unused   uint32
		}{Path: r.path})
	}
	return "direct-tcpip", ssh.Marshal(struct {
		Host       string
		Port       uint32
		Originator string
		From       uint32
	}{r.host, uint32(r.port), "127.0.0.1", 0})
}
