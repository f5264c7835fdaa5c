package privatedir

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errReplaced means that a path does not lead to the socket that has just been bound to it.
var errReplaced = errors.New("another file has taken the place of the socket")

// grant puts a in force for the bound socket that does not listen yet. It changes the file of that
// socket alone, and never what somebody has put in its place: a link, for example.
func (a Access) grant(socket int, path string) error {
	if a == (Access{}) {
		return nil
	}
	file, err := openBound(socket, path)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	if a.Group != nil {
		if err := unix.Fchownat(file, "", -1, *a.Group, unix.AT_EMPTY_PATH); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	if a.Mode == 0 {
		return nil
	}
	mode := uint32(a.Mode.Perm())
	if unix.Fchmodat(file, "", mode, unix.AT_EMPTY_PATH) == nil {
		return nil
	}
	// Linux before 6.6, and some containers.
	return os.NewSyscallError("chmod", unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", file), mode))
}

// siocUnixFile is SIOCUNIXFILE of linux/un.h: it opens the file that a socket is bound to.
const siocUnixFile = 0x89e0

// openBound opens the file of a bound socket with O_PATH. The kernel tells those who administrate
// the network which file that is. For all others openSocket judges what is at the path.
func openBound(socket int, path string) (fd int, err error) {
	if fd, err = unix.IoctlRetInt(socket, siocUnixFile); err == nil {
		return fd, nil
	}
	return openSocket(path)
}

// openSocket opens a socket of this user on which nobody listens, and nothing else, with O_PATH. If
// that is not the socket that has just been bound, it is one that nobody uses.
func openSocket(path string) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open", err)
	}
	var info unix.Stat_t
	if err = unix.Fstat(fd, &info); err == nil && (info.Mode&unix.S_IFMT != unix.S_IFSOCK ||
		info.Uid != uint32(os.Geteuid()) || !refuses(fd)) {
		err = errReplaced
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// refuses reports whether nobody listens on a socket that is open with O_PATH.
func refuses(file int) bool {
	fd, err := newSocket()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	address := &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d", file)}
	return unix.Connect(fd, address) == unix.ECONNREFUSED
}
