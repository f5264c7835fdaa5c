// Package activation has the listening sockets that the service manager, which is systemd, passes
// to a program: sd_listen_fds(3). The program finds them by their addresses.
package activation

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// The networks of At, as package net calls them.
const (
	TCP  = "tcp"
	Unix = "unix"
)

// Sockets are those that were passed. One goroutine at a time may use them; those of nil are none.
type Sockets struct{ all []*socket }

// socket is one of them.
type socket struct {
	file    *os.File // its name is what FileDescriptorName= says, or the unit's
	network string
	at      netip.AddrPort // of TCP, with IPv4 unmapped
	path    string         // of Unix; an abstract one begins with @
	used    bool
}

// Inherit takes what the variables LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES describe, and removes
// them. The error is about a descriptor that is no socket that accepts streams.
func Inherit() (*Sockets, error) {
	s := new(Sockets)
	var errs []error
	for _, file := range activation.Files(true) {
		one, err := newSocket(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("the service manager passes %q: %w", file.Name(), err))
			continue
		}
		s.all = append(s.all, one)
	}
	return s, errors.Join(errs...)
}

func newSocket(file *os.File) (*socket, error) {
	fd := int(file.Fd())
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt SO_ACCEPTCONN", err)
	}
	if listens == 0 {
		return nil, errors.New("it does not listen: give the unit ListenStream=, and no Accept=yes")
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	s := &socket{file: file, network: TCP}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		s.at = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		s.at = netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), uint16(name.Port))
	case *unix.SockaddrUnix:
		s.network, s.path = Unix, name.Name
	default:
		return nil, errors.New("it is neither TCP nor a Unix socket")
	}
	return s, nil
}

// At is the socket at an address, or nil: for [TCP] HOST:PORT, for [Unix] a path. HOST is an
// address, localhost, or empty or * for 0.0.0.0. The file stays the Sockets': who listens on it
// takes a duplicate.
func (s *Sockets) At(network, address string) *os.File {
	if s == nil {
		return nil
	}
	for _, one := range s.all {
		if one.network == network && one.isAt(address) {
			one.used = true
			return one.file
		}
	}
	return nil
}

func (s *socket) isAt(address string) bool {
	if s.network == Unix {
		return s.path == address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	switch host {
	case "", "*":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	at, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	return err == nil && netip.AddrPortFrom(at.Addr().Unmap(), at.Port()) == s.at
}

// Unused names the sockets that At has not found yet; nil: there are none.
func (s *Sockets) Unused() error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, one := range s.all {
		if !one.used {
			errs = append(errs, fmt.Errorf("the service manager passes %q, which listens at %s: "+
				"nothing is configured for that address", one.file.Name(), one.address()))
		}
	}
	return errors.Join(errs...)
}

func (s *socket) address() string {
	if s.network == Unix {
		return s.path
	}
	return s.at.String()
}
