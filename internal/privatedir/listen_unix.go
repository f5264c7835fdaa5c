//go:build unix

package privatedir

import (
	"errors"
	"io/fs"
	"math"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted: as many as the system allows. The system
// reduces it to its own limit.
const backlog = math.MaxUint16

// listen makes a Unix socket in several steps, unlike package net. It sets the mode before the last
// step, so that nobody can connect before.
func listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	fd, err := newSocket()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // the listener has a descriptor of its own
	if err := prepareMode(fd, mode); err != nil {
		return nil, os.NewSyscallError("fchmod", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	l, err := listenOn(file, path, mode)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return l, nil
}

// newSocket makes a socket that is not inherited by programs that this process starts.
func newSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	return fd, err
}

// listenOn listens on a bound socket.
func listenOn(file *os.File, path string, mode fs.FileMode) (*net.UnixListener, error) {
	if err := setMode(path, mode); err != nil {
		return nil, os.NewSyscallError("chmod", err)
	}
	if err := unix.Listen(int(file.Fd()), backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil // its Close does not remove the file
}
