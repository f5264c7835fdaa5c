package sshtunnel

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// remote is the far end of a stream: a TCP port or a Unix socket that the SSH server can reach.
type remote struct {
	host string
	port int
	path string // of a Unix socket; "": a TCP port
}

// parseEndpoint parses a ZeroMQ endpoint: tcp://host:port or ipc:///path.
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

// parseRemote parses a network and address of package net.
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

// notInHost reports whether a character cannot be in a host: it is a wildcard, or part of libzmq's
// syntax.
func notInHost(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("*;/@", r) }

// String returns the remote as an endpoint. Equal remotes have equal endpoints.
func (r remote) String() string {
	if r.path != "" {
		return "ipc://" + r.path
	}
	return "tcp://" + net.JoinHostPort(r.host, strconv.Itoa(r.port))
}

// addr returns the remote as a net.Addr.
func (r remote) addr() net.Addr {
	if r.path != "" {
		return addr{"unix", r.path}
	}
	return addr{"tcp", net.JoinHostPort(r.host, strconv.Itoa(r.port))}
}

type addr struct{ network, address string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.address }

// channel returns the type of the SSH channel to the remote and the payload of its request (RFC
// 4254, section 7.2; OpenSSH's PROTOCOL, section 2.4).
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
