package front

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// maxBacklog is how many connections may wait to be accepted: as many as the system allows.
const maxBacklog = math.MaxUint16

// listener is where clients connect to.
type listener struct {
	fd   int
	spec endpoint.Endpoint // what was asked for
	text string            // the endpoint

	// sheds says that the socket takes a filter: it is of TCP, and no other process has it.
	sheds bool

	mu   sync.Mutex
	file *privatedir.Socket // of ipc, which close removes; nil: none
}

// bindTime limits how long it takes to find out whether somebody listens at the path of a Unix
// socket.
const bindTime = 5 * time.Second

func listen(text string, cfg *Config) (*listener, error) {
	spec, err := endpoint.ParseBind(text)
	if err != nil {
		return nil, err
	}
	if cfg.Listener != nil {
		return inherit(spec, cfg.Listener)
	}
	if spec.Transport == endpoint.TCP {
		return listenTCP(spec)
	}
	if !spec.HasFile() {
		return nil, errors.New("an abstract Unix socket has no mode: everybody could connect")
	}
	access := privatedir.Access{Mode: cfg.Mode, Group: cfg.Group}
	if access.Mode == 0 {
		access.Mode = 0o600
	}
	ctx, cancel := context.WithTimeout(context.Background(), bindTime)
	defer cancel()
	file, socket, err := privatedir.ListenFile(ctx, spec.Path, access)
	if err != nil {
		return nil, files.Bare(err)
	}
	defer file.Close()
	fd, err := privatedir.Duplicate(file)
	if err != nil {
		return nil, errors.Join(err, socket.Remove())
	}
	return &listener{fd: fd, spec: spec, text: spec.String(), file: socket}, nil
}

// inherit takes a socket that listens already.
func inherit(spec endpoint.Endpoint, file *os.File) (*listener, error) {
	fd, err := privatedir.Duplicate(file)
	if err != nil {
		return nil, err
	}
	text, err := inherited(spec, fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("the listener %s: %w", file.Name(), err)
	}
	return &listener{fd: fd, spec: spec, text: text}, nil
}

// inherited prepares a socket that listens already, and returns its endpoint.
func inherited(spec endpoint.Endpoint, fd int) (text string, err error) {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return "", os.NewSyscallError("getsockopt SO_ACCEPTCONN", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	at, isTCP := addrPortOf(bound)
	if listens == 0 || isTCP != (spec.Transport == endpoint.TCP) {
		return "", errors.New("it does not listen for the transport of the endpoint")
	}
	if !isTCP {
		return spec.String(), nil
	}
	if err := setNoDelay(fd); err != nil {
		return "", err
	}
	return endpoint.TCP + "://" + at.String(), setAccepted(fd)
}

func listenTCP(spec endpoint.Endpoint) (*listener, error) {
	addr, zone, err := bindAddress(spec)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(spec.Port)
	if err != nil {
		return nil, err
	}
	family := unix.AF_INET
	var name unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{}, Port: port}
	if addr.Is4() {
		name = &unix.SockaddrInet4{Addr: addr.As4(), Port: port}
	} else {
		family = unix.AF_INET6
		name = &unix.SockaddrInet6{Addr: addr.As16(), Port: port, ZoneId: zone}
	}
	fd, err := newTCP(family)
	if err != nil {
		return nil, err
	}
	if err := openTCP(fd, family, name); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("getsockname", err)
	}
	at, _ := addrPortOf(bound)
	return &listener{fd: fd, spec: spec, text: endpoint.TCP + "://" + at.String(), sheds: true}, nil
}

// The options of accepted connections, which they have from their listener: the calls for each
// would be most of what a flood of them costs. A client that has vanished is found after some two
// minutes.
var acceptedOptions = []struct{ level, name, value int }{
	{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
}

// setAccepted sets the options of the connections that a listener accepts.
func setAccepted(fd int) error {
	for _, option := range acceptedOptions {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// Until a client is admitted.
	return os.NewSyscallError("setsockopt SO_LINGER", setReset(fd, true))
}

func openTCP(fd, family int, name unix.Sockaddr) error {
	if err := setAccepted(fd); err != nil {
		return err
	}
	if family == unix.AF_INET6 { // of both families, as with libzmq
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	if err := unix.Bind(fd, name); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", unix.Listen(fd, maxBacklog))
}

// bindAddress is the address of an endpoint, and the index of its zone. The name of a network
// interface is its first IPv4 address, as with libzmq.
func bindAddress(spec endpoint.Endpoint) (addr netip.Addr, zone uint32, err error) {
	addr = spec.Addr()
	if addr.IsValid() && addr.Zone() == "" {
		return addr, 0, nil
	}
	name := spec.Host
	if addr.IsValid() {
		name = addr.Zone()
	}
	device, err := net.InterfaceByName(name)
	if err != nil {
		return addr, 0, fmt.Errorf("network interface %.40q: %w", name, errors.Unwrap(err))
	}
	if addr.IsValid() {
		return addr.WithZone(""), uint32(device.Index), nil
	}
	networks, err := device.Addrs()
	for _, n := range networks {
		if n, ok := n.(*net.IPNet); ok && n.IP.To4() != nil {
			return netip.AddrFrom4([4]byte(n.IP.To4())), 0, nil
		}
	}
	return addr, 0, errors.Join(err, fmt.Errorf("network interface %q has no IPv4 address", name))
}

// duplicate is another listener of the same clients. The file stays l's.
func (l *listener) duplicate(text string) (*listener, error) {
	spec, err := endpoint.ParseBind(text)
	if err != nil {
		return nil, err
	}
	if text != l.text && spec != l.spec {
		return nil, fmt.Errorf("the Front to replace listens at %s", l.text)
	}
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return &listener{fd: fd, spec: l.spec, text: l.text, sheds: l.sheds}, nil
}

// takeFile makes the file of another listener l's.
func (l *listener) takeFile(from *listener) {
	file := from.giveFile()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = file
}

// giveFile makes the file somebody else's.
func (l *listener) giveFile() *privatedir.Socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	file := l.file
	l.file = nil
	return file
}

// close ends the listening, and removes the file.
func (l *listener) close() error {
	var err error
	if file := l.giveFile(); file != nil {
		err = file.Remove() // while it listens: afterwards the path may be somebody else's
	}
	return errors.Join(err, unix.Close(l.fd))
}

// addrPortOf is a peer's address, with IPv4 unmapped; false: of a Unix socket.
func addrPortOf(name unix.Sockaddr) (netip.AddrPort, bool) {
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port)), true
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), uint16(name.Port)), true
	}
	return netip.AddrPort{}, false
}
