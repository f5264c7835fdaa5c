package privatedir

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

// dialTime is how long a socket that is in the way may take to answer.
const dialTime = time.Second

// A Socket is the file of a Unix socket that was made at its path.
type Socket struct {
	path string
	made fs.FileInfo
}

// Bind has bind, a function of another library such as libzmq, make a Unix socket at path. A socket
// there that nobody answers is removed before. Whatever else is there stays: the error is
// [syscall.EADDRINUSE], and bind is not called.
//
// Those who bind in one directory by this package take turns, so that none of them removes what
// another one has just made. For that the directory is locked (flock(2)). Where that cannot be
// done, as on some network file systems and on Windows, nothing is removed: only a path where there
// is nothing can be bound.
func Bind(ctx context.Context, path string, bind func() error) (*Socket, error) {
	if path == "" || path[0] == '@' { // which Linux has no file for
		return nil, errors.New("not the path of a Unix socket")
	}
	unlock, locked := lock(ctx, filepath.Dir(path))
	defer unlock()
	if err := makeWay(ctx, path, locked); err != nil {
		return nil, err
	}
	if err := bind(); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, files.Bare(err)
	}
	return &Socket{path: path, made: info}, nil
}

// Remove removes the file, unless it is gone or another one has taken its place. It is to be called
// while the socket still listens: afterwards the path may be another's at any time.
func (s *Socket) Remove() error {
	info, err := os.Lstat(s.path)
	if err != nil || !sameSocket(info, s.made) {
		return nil // what is there, if anything, is not this one
	}
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return files.Bare(err)
	}
	return nil
}

// sameSocket compares the times too, as an inode is soon used again. Nobody writes into a socket's
// file.
func sameSocket(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

// makeWay removes a socket that nobody answers, if it may, and is an error where anything else is.
func makeWay(ctx context.Context, path string, mayRemove bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // nothing is there, or binding says better what is wrong
	}
	if !mayRemove || info.Mode().Type() != fs.ModeSocket || !isStale(ctx, path) {
		return syscall.EADDRINUSE
	}
	if now, err := os.Lstat(path); err != nil || !sameSocket(info, now) {
		return syscall.EADDRINUSE // somebody who takes no turns was faster
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return files.Bare(err)
	}
	return nil
}

// isStale tells whether nobody listens on a Unix socket any more. One that does not answer for want
// of time or of permission is not stale.
func isStale(ctx context.Context, path string) bool {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Listen listens on a Unix socket at path, where it makes way as Bind does. A mode that is not 0 is
// the file's, less the umask's bits, before anybody can connect. (Windows knows no modes.) Close
// removes the file, unless another one has taken its place. Errors are those of [net.Listen].
func Listen(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	var l *net.UnixListener
	socket, err := Bind(ctx, path, func() (err error) {
		l, err = listen(path, mode)
		return err
	})
	if err == nil {
		return &listener{UnixListener: l, remove: sync.OnceValue(socket.Remove)}, nil
	}
	if l != nil {
		_ = l.Close()
	}
	if _, ok := errors.AsType[*os.SyscallError](err); !ok {
		err = os.NewSyscallError("bind", err)
	}
	address := &net.UnixAddr{Name: path, Net: "unix"}
	return nil, &net.OpError{Op: "listen", Net: "unix", Addr: address, Err: err}
}

// listener is a net.UnixListener that removes its own file only.
type listener struct {
	*net.UnixListener
	remove func() error // once
}

func (l *listener) Close() error {
	// The other way round, somebody could have taken the path in between.
	return errors.Join(l.remove(), l.UnixListener.Close())
}
