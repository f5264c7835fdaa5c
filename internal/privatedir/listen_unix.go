//go:build unix

package privatedir

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/files"
)

// backlog is how many connections may wait to be accepted: as many as the system allows. The system
// reduces it to its own limit.
const backlog = math.MaxUint16

// listen makes a Unix socket in several steps, unlike package net. It sets the mode before the last
// step, so that nobody can connect before.
func listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	file, err := open(path, mode, func(int) error {
		return os.NewSyscallError("chmod", setMode(path, mode))
	})
	if err != nil {
		return nil, err
	}
	defer file.Close() // the listener has a descriptor of its own
	l, err := net.FileListener(file)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return l.(*net.UnixListener), nil // its Close does not remove the file
}

// ListenFile listens on a Unix socket at path, for a program that accepts the connections by other
// means than package net. It replaces an existing socket under the same rules as Bind. access holds
// before anybody can connect. The file does not block. Closing it ends the listening but leaves the
// socket's file, which the Socket removes.
//
// It is an error if others could put a socket of their own in the place of this one, and get what
// its clients send: see [files.CheckParent].
func ListenFile(ctx context.Context, path string, access Access) (*os.File, *Socket, error) {
	if err := files.CheckParent(path); err != nil {
		return nil, nil, err
	}
	var file *os.File
	socket, err := Bind(ctx, path, func() (err error) {
		file, err = open(path, 0, func(fd int) error { return access.grant(fd, path) })
		return err
	})
	if err != nil && file != nil {
		_ = file.Close()
	}
	if err != nil {
		return nil, nil, err
	}
	return file, socket, nil
}

// Duplicate returns another descriptor of a listening socket, which does not block, for a program
// that accepts the connections by other means than package net. The caller closes both.
func Duplicate(file *os.File) (fd int, err error) {
	fd, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("dup", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // Fd has made it block
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("fcntl O_NONBLOCK", err)
	}
	return fd, nil
}

// Access says who may connect to a Unix socket. The zero value leaves that to the umask.
type Access struct {
	Mode  fs.FileMode // of the file, whatever the umask; 0: as the umask has it
	Group *int        // the id of the file's group; nil: as the system chooses
}

// open makes a Unix socket and listens on it. It calls grant before anybody can connect. The file
// does not block.
func open(path string, mode fs.FileMode, grant func(fd int) error) (*os.File, error) {
	fd, err := newSocket()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), path)
	if err := openFile(fd, path, mode, grant); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func openFile(fd int, path string, mode fs.FileMode, grant func(fd int) error) error {
	if err := prepareMode(fd, mode); err != nil {
		return os.NewSyscallError("fchmod", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	err := grant(fd)
	if errors.Is(err, errReplaced) {
		return err // what is at the path now is somebody else's
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// newSocket makes a socket that is not inherited by programs that this process starts.
func newSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
		err = unix.SetNonblock(fd, true)
	}
	return fd, err
}
