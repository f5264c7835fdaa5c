package zmqauth

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// endpoint is what a frontend binds, or the backend that it connects to, as far as the text tells: names are not looked up.
type endpoint struct {
	gate string     // the port, or of ipc the path or abstract name
	addr netip.Addr // of tcp: the host; 0.0.0.0 and :: are all of its addresses; invalid: it has a name, or this is ipc
	name string     // of the host or network interface
}

// boundEndpoint is the endpoint of a frontend, and the line where it stands.
type boundEndpoint struct {
	endpoint
	line int
}

// anyGate is a port that the system chooses, another one each time.
const anyGate = "0"

const (
	maxIPCPath       = 107 // what the system's address of a Unix socket has room for, without its final NUL
	maxInterfaceName = 15  // what Linux has room for
)

func checkBind(text string) error {
	_, err := parseEndpoint(text, true)
	return err
}

func checkBackend(text string) error {
	_, err := parseEndpoint(text, false)
	return err
}

// parseEndpoint finds what libzmq would only find out later, or never.
func parseEndpoint(text string, bind bool) (endpoint, error) {
	transport, address, ok := strings.Cut(text, "://")
	switch {
	case ok && transport == "tcp":
		return parseTCP(address, bind)
	case ok && transport == "ipc":
		name := strings.TrimLeft(address, "/@")
		if name == "" || name == address || len(address) > maxIPCPath {
			return endpoint{}, fmt.Errorf(
				"ipc:// wants an absolute path, or an abstract name (@name), of at most %d bytes", maxIPCPath)
		}
		if address[0] == '/' {
			address = filepath.Clean(address)
		}
		return endpoint{gate: address}, nil
	case ok && transport == "inproc":
		return endpoint{}, errors.New("inproc is for one process alone, and libzmq asks nobody about its clients")
	}
	return endpoint{}, errors.New("not tcp://HOST:PORT or ipc://PATH")
}

func parseTCP(address string, bind bool) (endpoint, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(address, "; /") {
		return endpoint{}, errors.New("tcp:// wants HOST:PORT, and an IPv6 address stands in brackets")
	}
	if bind && port == "*" {
		port = anyGate
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 && !bind {
		return endpoint{}, errors.New("no port number")
	}
	e := endpoint{gate: strconv.FormatUint(number, 10)}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		e.addr = addr.Unmap()
	case host == "*" && !bind:
		return endpoint{}, errors.New("* is every address of this host: nobody can connect to that")
	case host == "*":
		e.addr = netip.IPv4Unspecified()
	case bind && (strings.EqualFold(host, "localhost") || len(host) > maxInterfaceName):
		return endpoint{}, errors.New("the name of a host cannot be bound: write an address, * or a network interface's name")
	case strings.EqualFold(host, "localhost"), bind && host == "lo":
		e.addr = loopback
	default:
		e.name = host
	}
	return e, nil
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// holds tells whether who has bound e has bound other, too, or would have.
func (e endpoint) holds(other endpoint) bool {
	switch {
	case e.gate != other.gate:
		return false
	case e.addr == netip.IPv6Unspecified(): // of both families: libzmq says so to the system
		return true
	case e.addr == netip.IPv4Unspecified():
		return !other.addr.Is6()
	}
	return e.addr == other.addr && e.name == other.name
}

// receives tells whether who connects to backend, on the host on which e is bound, connects to e.
func (e endpoint) receives(backend endpoint) bool {
	switch backend.addr { // the system takes no address for its own
	case netip.IPv4Unspecified():
		backend.addr = loopback
	case netip.IPv6Unspecified():
		backend.addr = netip.IPv6Loopback()
	}
	here := backend.addr.IsLoopback() || !e.addr.IsUnspecified() // another host may have the same port
	return here && backend.name == "" && e.holds(backend)
}
