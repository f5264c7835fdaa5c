package front

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fence is a private endpoint that only its Front can reach, on a machine where other processes can
// dial every loopback address.
//
// The Front dials from one port, which it holds on all addresses, so that nobody else can have it.
// Two sockets listen at the private endpoint: hole and the one that libzmq gets. The kernel gives a
// connection to libzmq's only if it comes from that port (SO_ATTACH_REUSEPORT_CBPF, socket(7)), and
// else to hole. That is decided before libzmq hears of the connection, and needs no privilege. Only
// processes of the same user may listen there as well; those could use a debugger instead.
type fence struct {
	holder int // has the port that is dialled from
	from   int // that port
	hole   int // gets what comes from elsewhere
	at     netip.AddrPort
}

// newFence makes a fence, and the listening socket for libzmq.
func newFence() (f *fence, listener int, err error) {
	f = &fence{holder: -1, hole: -1}
	listener, err = f.build()
	if err == nil {
		err = f.test(listener)
	}
	if err != nil {
		f.close()
		if listener >= 0 {
			_ = unix.Close(listener)
		}
		return nil, -1, fmt.Errorf("the socket's private endpoint: %w", err)
	}
	return f, listener, nil
}

func (f *fence) build() (listener int, err error) {
	if f.holder, err = newTCP(unix.AF_INET); err != nil {
		return -1, err
	}
	// The port is chosen before it may be shared, so that no other socket has it.
	if err = unix.Bind(f.holder, &unix.SockaddrInet4{}); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	if f.from, err = portOf(f.holder); err != nil {
		return -1, err
	}
	if err = share(f.holder); err != nil {
		return -1, err
	}
	if f.hole, err = newTCP(unix.AF_INET); err != nil {
		return -1, err
	}
	loopback := [4]byte{127, 0, 0, 1}
	if err = unix.Bind(f.hole, &unix.SockaddrInet4{Addr: loopback}); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	port, err := portOf(f.hole)
	if err != nil {
		return -1, err
	}
	f.at = netip.AddrPortFrom(netip.AddrFrom4(loopback), uint16(port))
	if err = errors.Join(share(f.hole), f.admit(f.from)); err != nil {
		return -1, err
	}
	// The hole listens first: there is no moment at which libzmq's socket has no fence.
	if err = unix.Listen(f.hole, 64); err != nil {
		return -1, os.NewSyscallError("listen", err)
	}
	if listener, err = newTCP(unix.AF_INET); err != nil {
		return -1, err
	}
	if err = share(listener); err != nil {
		return listener, err
	}
	if err = unix.Bind(listener, &unix.SockaddrInet4{Addr: loopback, Port: port}); err != nil {
		return listener, os.NewSyscallError("bind", err)
	}
	return listener, os.NewSyscallError("listen", unix.Listen(listener, maxBacklog))
}

// The sockets at the private endpoint, in the order in which they began to listen. A number that no
// socket has would mean any of them.
const (
	holeIndex = iota
	libzmqIndex
)

// admit has the kernel give the connections from one port to libzmq's socket, and all others to the
// hole; 0: none.
func (f *fence) admit(port int) error {
	const (
		plainHeader = 0x45 // IPv4 without options, behind which the ports stand
		network     = 0xfff00000
	)
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: network},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: plainHeader, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: network + 20},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(port), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: libzmqIndex},
		{Code: unix.BPF_RET | unix.BPF_K, K: holeIndex},
	}
	if port == 0 {
		program = program[5:]
	}
	err := unix.SetsockoptSockFprog(f.hole, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", err)
}

// testWait is how long a connection of test may take, in milliseconds.
const testWait = 10_000

// test proves that the fence holds on this system, before anybody else knows of it.
func (f *fence) test(listener int) error {
	stranger, err := f.dialFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	if err != nil {
		return err
	}
	defer unix.Close(stranger)
	if err := acceptOne(f.hole); err != nil {
		return fmt.Errorf("it cannot be kept from other processes here: %w", err)
	}
	own, err := f.dialFrom(netip.AddrFrom4([4]byte{127, 255, 255, 254}), f.from)
	if err != nil {
		return err
	}
	defer unix.Close(own)
	if err := acceptOne(listener); err != nil {
		return fmt.Errorf("the front itself cannot reach it: %w", err)
	}
	return nil
}

// acceptOne waits for a connection, and closes it.
func acceptOne(listener int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}, testWait)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return os.NewSyscallError("poll", err)
		case n == 0:
			return unix.ETIMEDOUT
		}
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err != nil {
			return os.NewSyscallError("accept", err)
		}
		return unix.Close(fd)
	}
}

// dial connects to libzmq's socket from an address. The connection may still be under way.
func (f *fence) dial(from netip.Addr) (fd int, err error) { return f.dialFrom(from, f.from) }

func (f *fence) dialFrom(from netip.Addr, port int) (fd int, err error) {
	if fd, err = newTCP(unix.AF_INET); err != nil {
		return -1, err
	}
	if port != 0 {
		err = share(fd)
	}
	if err == nil {
		err = os.NewSyscallError("bind",
			unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4(), Port: port}))
	}
	if err == nil {
		err = os.NewSyscallError("connect",
			unix.Connect(fd, &unix.SockaddrInet4{Addr: f.at.Addr().As4(), Port: int(f.at.Port())}))
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// shut closes the fence: nobody reaches libzmq's socket any more. The hole stays, because without
// it the kernel would give libzmq every connection.
func (f *fence) shut() error {
	err := f.admit(0)
	if err == nil {
		_ = unix.Close(f.holder)
		f.holder = -1
	}
	return err
}

// close frees the descriptors, once libzmq's socket is closed.
func (f *fence) close() {
	for _, fd := range []*int{&f.holder, &f.hole} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
			*fd = -1
		}
	}
}

// newTCP makes a socket that does not block, and that no other program inherits.
func newTCP(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := setNoDelay(fd); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setNoDelay(fd int) error {
	return os.NewSyscallError("setsockopt TCP_NODELAY",
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}

// share lets other sockets of this user have the same address.
func share(fd int) error {
	return os.NewSyscallError("setsockopt SO_REUSEPORT",
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

func portOf(fd int) (int, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	if name, ok := name.(*unix.SockaddrInet4); ok {
		return name.Port, nil
	}
	return 0, syscall.EAFNOSUPPORT
}
