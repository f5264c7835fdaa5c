package policyfile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth/internal/endpoint"
)

// Address is where a link listens or connects: a TCP port or a Unix socket. The zero value is no
// address.
type Address struct {
	Host string // of TCP, without brackets; "": every address of the host that listens
	Port string // of TCP, in decimal digits; "0": one that the system chooses; "": a Unix socket
	Path string // of a Unix socket: an absolute path, or "@" and an abstract name; "": TCP
}

const maxSocketPath = 107 // bytes of a Unix socket's address, without its final NUL (unix(7))

// anyHost stands for every address, anyPort for a port that the system chooses.
const anyHost, anyPort = "*", "*"

// Network returns the network of package net: "tcp" or "unix".
func (a Address) Network() string {
	if a.Path != "" {
		return "unix"
	}
	return "tcp"
}

// String returns what package net takes: host:port, or the path.
func (a Address) String() string {
	if a.Path != "" {
		return a.Path
	}
	return net.JoinHostPort(a.Host, a.Port)
}

// Endpoint returns the address as ZeroMQ and package sshtunnel write it.
func (a Address) Endpoint() string {
	switch {
	case a.Path != "":
		return "ipc://" + a.Path
	case a.Host == "":
		return "tcp://" + anyHost + ":" + a.Port
	}
	return "tcp://" + a.String()
}

// HasFile tells whether the address is a file: that of a Unix socket.
func (a Address) HasFile() bool { return strings.HasPrefix(a.Path, "/") }

// IsChosen tells whether the system chooses the port.
func (a Address) IsChosen() bool { return a.Port == endpoint.AnyPort }

// IsLocal tells whether only programs of this host reach the address: a Unix socket, or a loopback
// address.
func (a Address) IsLocal() bool {
	if a.Path != "" || strings.EqualFold(a.Host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(a.Host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Conflicts tells whether one host cannot listen at both addresses.
func (a Address) Conflicts(other Address) bool {
	return a.Bound().Conflicts(other.Bound())
}

// Bound returns the endpoint for an address to listen at. The zero endpoint conflicts with nothing.
func (a Address) Bound() endpoint.Endpoint {
	switch {
	case a.Path == "" && a.Host == "": // of both families, unlike libzmq's *
		a.Host = "::"
	case strings.EqualFold(a.Host, "localhost"):
		a.Host = "127.0.0.1"
	}
	e, err := endpoint.ParseBind(a.Endpoint())
	if err != nil {
		return endpoint.Endpoint{Port: endpoint.AnyPort}
	}
	return e
}

var errForm = errors.New("not HOST:PORT, tcp://HOST:PORT, unix:PATH, ipc://PATH or /PATH")

// parseAddress reads an address. resolve makes a relative path absolute.
func parseAddress(text string, resolve func(string) string) (Address, error) {
	for _, scheme := range []string{"ipc://", "unix:"} {
		if path, ok := strings.CutPrefix(text, scheme); ok {
			return parsePath(path, resolve)
		}
	}
	if text != "" && strings.ContainsRune("/.@", rune(text[0])) && !strings.HasPrefix(text, "...") {
		return parsePath(text, resolve)
	}
	text = strings.TrimPrefix(text, "tcp://")
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Address{}, errForm
	}
	if strings.ContainsFunc(host, notInHost) {
		return Address{}, fmt.Errorf("%.40q is no host", host)
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return Address{}, fmt.Errorf("%.40q is no IPv6 address", host)
		}
	}
	if port == anyPort {
		port = endpoint.AnyPort
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("%.20q is no port", port)
	}
	if host == anyHost {
		host = ""
	}
	return Address{Host: host, Port: strconv.FormatUint(number, 10)}, nil
}

// notInHost tells whether a character cannot be in a host.
func notInHost(r rune) bool {
	return r <= ' ' || r == 0x7f || r > 0x7e || strings.ContainsRune(";/@=[]", r)
}

func parsePath(path string, resolve func(string) string) (Address, error) {
	if path != "" && path[0] != '@' {
		path = resolve(path)
	}
	switch {
	case path == "" || path == "@" || path == "/":
		return Address{}, errors.New("a Unix socket without a path")
	case strings.ContainsRune(path, 0):
		return Address{}, errors.New("a NUL byte in the path of a Unix socket")
	case len(path) > maxSocketPath:
		return Address{}, fmt.Errorf("the path of a Unix socket has at most %d bytes", maxSocketPath)
	}
	return Address{Path: path}, nil
}

// checkListen checks an address to listen at on this host.
func (a Address) checkListen() error {
	if a.Path != "" {
		if a.Path[0] == '@' {
			return errors.New("an abstract socket is open to every user of this host, a path is not")
		}
		return nil
	}
	_, err := netip.ParseAddr(a.Host)
	if err != nil && a.Host != "" && !strings.EqualFold(a.Host, "localhost") {
		return errors.New("the name of a host cannot be listened at: write an address, localhost or *")
	}
	return nil
}

// checkConnect checks an address to connect to.
func (a Address) checkConnect() error {
	switch {
	case a.Path != "":
		return nil
	case a.Host == "":
		return errors.New("no host to connect to")
	case a.IsChosen():
		return errors.New("no port to connect to")
	}
	return nil
}

// Pair is two addresses of a forward: connections to Listen are carried to Connect.
type Pair struct{ Listen, Connect Address }

// parsePair reads LISTEN=CONNECT, or what ssh takes with -L and -R: [BIND:]PORT:HOST:HOSTPORT, with
// the path of a socket in place of either half. bind is the host for a PORT alone.
func parsePair(text, bind string, resolve func(string) string) (p Pair, err error) {
	listen, connect, ok := strings.Cut(text, "=")
	if !ok {
		if listen, connect, err = splitLikeSSH(text, bind); err != nil {
			return Pair{}, err
		}
	}
	if p.Listen, err = parseAddress(listen, resolve); err != nil {
		return Pair{}, fmt.Errorf("%.60q: %w", listen, err)
	}
	if p.Connect, err = parseAddress(connect, resolve); err != nil {
		return Pair{}, fmt.Errorf("%.60q: %w", connect, err)
	}
	return p, p.Connect.checkConnect()
}

var errPair = errors.New("not LISTEN=CONNECT or [BIND:]PORT:HOST:HOSTPORT")

func splitLikeSSH(text, bind string) (listen, connect string, err error) {
	fields, ok := splitColons(text)
	if !ok {
		return "", "", errPair
	}
	last := len(fields) - 1
	if last >= 0 && !strings.HasPrefix(fields[last], "/") {
		last-- // host:port
	}
	if last < 1 {
		return "", "", errPair
	}
	if listen, err = listenLikeSSH(fields[:last], bind); err != nil {
		return "", "", err
	}
	return listen, strings.Join(fields[last:], ":"), nil
}

// listenLikeSSH reads [BIND:]PORT or the path of a socket.
func listenLikeSSH(fields []string, bind string) (string, error) {
	switch {
	case len(fields) == 1 && strings.HasPrefix(fields[0], "/"):
		return fields[0], nil
	case len(fields) == 1:
		return net.JoinHostPort(bind, fields[0]), nil
	case len(fields) == 2 && !strings.HasPrefix(fields[0], "/"):
		return strings.Join(fields, ":"), nil
	}
	return "", errPair
}

// splitColons splits a text at the colons that are in no brackets.
func splitColons(text string) (fields []string, ok bool) {
	start, inside := 0, false
	for i := range len(text) {
		switch c := text[i]; {
		case c == '[' && !inside, c == ']' && inside:
			inside = !inside
		case c == '[', c == ']':
			return nil, false
		case c == ':' && !inside:
			fields = append(fields, text[start:i])
			start = i + 1
		}
	}
	return append(fields, text[start:]), !inside
}
