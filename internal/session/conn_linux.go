package session

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Handle is one connection as the kernel knows it. Two are equal only where they are the same
// connection: a descriptor's number is used again, a cookie is not (SO_COOKIE, socket(7)).
type Handle struct {
	fd     int
	cookie uint64
}

// handleOf is the connection that has a descriptor now.
func handleOf(fd int) (Handle, error) {
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	return Handle{fd, cookie}, err
}

// isOpen tells whether the descriptor still is that connection's.
func (h Handle) isOpen() bool {
	now, err := handleOf(h.fd)
	return err == nil && now == h
}

// hasEnded tells whether the connection is closed, or whether one of its ends sends no more.
func (h Handle) hasEnded() bool {
	poll := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(poll, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(poll, 0)
	}
	return err != nil || poll[0].Revents != 0 || !h.isOpen()
}

// written is how many bytes have been written to a TCP connection. The kernel answers in one step,
// so that no byte is missed or counted twice on its way.
func (h Handle) written() (uint64, error) {
	info, err := unix.GetsockoptTCPInfo(h.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, err
	}
	return info.Bytes_sent - info.Bytes_retrans + uint64(info.Notsent_bytes), nil
}

// cut ends a connection, whoever has its descriptor. It cannot end another one: the copy of the
// descriptor keeps the number from being used again between the check and the end.
func (h Handle) cut() error {
	duplicate, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(duplicate)
	now, err := handleOf(duplicate)
	if err != nil {
		return err
	}
	if now.cookie != h.cookie {
		return errGone
	}
	return unix.Shutdown(duplicate, unix.SHUT_RDWR)
}

// nap waits for less than a timer of Go's takes.
func nap(d time.Duration) {
	wait := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&wait, nil) // a signal may end it early
}

// shutdown ends a connection that has just been made, without a copy of its descriptor: there may
// be none left.
func (h Handle) shutdown() error {
	if !h.isOpen() {
		return errGone
	}
	return unix.Shutdown(h.fd, unix.SHUT_RDWR)
}

// errGone says that a connection has ended by itself.
var errGone = errors.New("the connection has ended")

// origin is where a connection comes from.
type origin struct {
	client  netip.AddrPort // of TCP
	peer    string         // of IPC: uid:gid:pid
	address string         // as the ZAP request has it, in the form of normalAddress
}

// originOf is where the connection with a descriptor comes from. Package syscall is asked: package
// unix makes a second call for each name.
func originOf(fd int) (origin, error) {
	name, err := syscall.Getpeername(fd)
	if err != nil {
		return origin{}, err
	}
	switch name := name.(type) {
	case *syscall.SockaddrInet4:
		return tcpOrigin(netip.AddrFrom4(name.Addr), name.Port), nil
	case *syscall.SockaddrInet6:
		return tcpOrigin(netip.AddrFrom16(name.Addr).Unmap(), name.Port), nil
	case *syscall.SockaddrUnix:
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return origin{}, err
		}
		peer := fmt.Sprintf("%d:%d:%d", cred.Uid, cred.Gid, cred.Pid)
		return origin{peer: peer, address: ipcPrefix + peer}, nil
	}
	return origin{}, errors.New("neither TCP nor IPC")
}

// hasPort tells whether one of the two ends of a TCP connection has a port.
func hasPort(fd, port int) bool {
	for _, name := range []func(int) (syscall.Sockaddr, error){
		syscall.Getsockname, syscall.Getpeername,
	} {
		switch name, _ := name(fd); name := name.(type) {
		case *syscall.SockaddrInet4:
			if name.Port == port {
				return true
			}
		case *syscall.SockaddrInet6:
			if name.Port == port {
				return true
			}
		}
	}
	return false
}

func tcpOrigin(addr netip.Addr, port int) origin {
	return origin{client: netip.AddrPortFrom(addr, uint16(port)), address: addr.String()}
}
