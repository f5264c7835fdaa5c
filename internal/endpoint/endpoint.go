// Package endpoint reads the endpoints of ZeroMQ sockets: tcp://HOST:PORT and ipc://PATH. It finds
// what libzmq would find out later, or never. Names are not looked up.
package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// The transports. Of libzmq's others, inproc is for one process alone and asks nobody.
const (
	TCP = "tcp"
	IPC = "ipc"
)

// AnyPort is a port that the system chooses, another one each time.
const AnyPort = "0"

const (
	maxIPCPath       = 107 // bytes of a Unix socket's address, without its final NUL (unix(7))
	maxInterfaceName = 15  // bytes of a network interface's name, which Linux has room for
)

// Endpoint is an endpoint that a socket binds or connects to.
type Endpoint struct {
	Transport string // TCP or IPC
	Host      string // of TCP, as it was written: an address without brackets, a name, or "*"
	Port      string // of TCP, in decimal digits without leading zeros
	Path      string // of IPC: an absolute path, cleaned, or "@" and an abstract name

	addr netip.Addr // of TCP: the host's, unmapped; unspecified: all addresses; invalid: a name
}

// ParseBind reads an endpoint to bind: with "*" or an interface's name for a host, "*" for a port.
func ParseBind(text string) (Endpoint, error) { return parse(text, true) }

// ParseConnect reads an endpoint to connect to: with a host and a port.
func ParseConnect(text string) (Endpoint, error) { return parse(text, false) }

func parse(text string, bind bool) (Endpoint, error) {
	transport, address, ok := strings.Cut(text, "://")
	switch {
	case ok && transport == TCP:
		return parseTCP(address, bind)
	case ok && transport == IPC:
		return parseIPC(address)
	case ok && transport == "inproc":
		return Endpoint{}, errors.New(
			"inproc is for one process alone, and libzmq asks nobody about its clients")
	}
	return Endpoint{}, errors.New("not tcp://HOST:PORT or ipc://PATH")
}

func parseIPC(address string) (Endpoint, error) {
	name := strings.TrimLeft(address, "/@")
	if name == "" || name == address || len(address) > maxIPCPath {
		return Endpoint{}, fmt.Errorf("ipc:// wants an absolute path, or an abstract name (@name), "+
			"of at most %d bytes", maxIPCPath)
	}
	if address[0] == '/' {
		address = filepath.Clean(address)
	}
	return Endpoint{Transport: IPC, Path: address}, nil
}

func parseTCP(address string, bind bool) (Endpoint, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(address, "; /") {
		return Endpoint{}, errors.New(
			"tcp:// wants HOST:PORT, and an IPv6 address stands in brackets")
	}
	if bind && port == "*" {
		port = AnyPort
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 && !bind {
		return Endpoint{}, errors.New("no port number")
	}
	e := Endpoint{Transport: TCP, Host: host, Port: strconv.FormatUint(number, 10)}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		e.addr = addr.Unmap()
	case strings.Contains(host, ":"):
		return Endpoint{}, fmt.Errorf("%q is no IPv6 address", host)
	case host == "*" && !bind:
		return Endpoint{}, errors.New(
			"* is every address of this host: nobody can connect to that")
	case host == "*":
		e.addr = netip.IPv4Unspecified()
	case bind && (strings.EqualFold(host, "localhost") || len(host) > maxInterfaceName):
		return Endpoint{}, errors.New("the name of a host cannot be bound: write an address, * or " +
			"a network interface's name")
	case strings.EqualFold(host, "localhost"), bind && host == "lo":
		e.addr = loopback
	}
	return e, nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Addr is the host's address, with IPv4 unmapped from IPv6; it is invalid where the host has a name
// that would have to be looked up, and for IPC. "*" is 0.0.0.0, localhost 127.0.0.1.
func (e Endpoint) Addr() netip.Addr { return e.addr }

// isLiteral tells whether the host is an address, and no name.
func (e Endpoint) isLiteral() bool {
	_, err := netip.ParseAddr(e.Host)
	return err == nil
}

// IsIPv6 tells whether the host is written as an IPv6 address, for which libzmq needs its option
// ZMQ_IPV6. ::ffff:a.b.c.d is one, too.
func (e Endpoint) IsIPv6() bool { return strings.Contains(e.Host, ":") }

// HasFile tells whether the endpoint is a file: that of a Unix socket.
func (e Endpoint) HasFile() bool { return e.Transport == IPC && e.Path[0] == '/' }

// Key is the same for two endpoints that may be one, and for no others: the port or the path.
func (e Endpoint) Key() string { return e.Transport + e.Port + e.Path }

// IsChosen tells whether the system chooses the port, so that no other endpoint is the same.
func (e Endpoint) IsChosen() bool { return e.Port == AnyPort }

// Conflicts tells whether two sockets of one host cannot both bind e and other.
func (e Endpoint) Conflicts(other Endpoint) bool {
	return !e.IsChosen() && (e.covers(other) || other.covers(e))
}

// covers tells whether a socket that binds e takes all that one would take that binds other.
func (e Endpoint) covers(other Endpoint) bool {
	switch {
	case e.Key() != other.Key():
		return false
	case e.Transport == IPC:
		return true
	case e.addr == netip.IPv6Unspecified(): // of both families: libzmq says so to the system
		return true
	case e.addr == netip.IPv4Unspecified():
		return !other.addr.Is6()
	case e.addr.IsValid() || other.addr.IsValid():
		return e.addr == other.addr
	}
	return e.Host == other.Host
}

// Receives tells whether a socket that binds e receives what another one sends, on the same host,
// that connects to other.
func (e Endpoint) Receives(other Endpoint) bool {
	if e.IsChosen() {
		return false
	}
	if e.Transport == IPC || other.Transport == IPC {
		return e.covers(other)
	}
	switch other.addr { // the system takes no address for its own
	case netip.IPv4Unspecified():
		other.addr = loopback
	case netip.IPv6Unspecified():
		other.addr = netip.IPv6Loopback()
	}
	if !other.addr.IsValid() { // a host's name, which nobody binds
		return false
	}
	here := other.addr.IsLoopback() || !e.addr.IsUnspecified() // others may have the same port
	return here && e.covers(other)
}
