package privatedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

const (
	// dialTimeout is how long an existing socket may take to answer.
	dialTimeout = time.Second
	// lockTimeout is how long to wait for other processes that bind in the same directory. It is
	// longer than one of them takes.
	lockTimeout = 3 * dialTimeout
	// listenTime is far more than a process needs between binding a socket and listening on it.
	listenTime = 100 * time.Millisecond
)

// A Socket is the file of a Unix socket.
type Socket struct {
	path string
	made fs.FileInfo
}

// Bind calls bind, a function that makes a Unix socket at path, for example with libzmq. Before
// that it removes an existing socket on which nobody listens. Any other file at path stays: then
// the error is [syscall.EADDRINUSE], and bind is not called.
//
// Processes of this user that bind in the same directory take turns, so that none removes what
// another has just made. See [files.TakeLock]. Without a lock, as on some network file systems and
// on Windows, nothing is removed, and bind is called only if nothing is at path: the error of a
// stale socket tells what is wrong with the lock. If that is a file of somebody else, who could
// stop this user for ever, Bind looks twice whether a socket is stale, and takes no turn.
func Bind(ctx context.Context, path string, bind func() error) (*Socket, error) {
	if path == "" || path[0] == '@' { // an abstract socket, which has no file
		return nil, errors.New("not the path of a Unix socket")
	}
	lock, unlocked := files.TakeLock(ctx, filepath.Dir(path), os.Geteuid(), lockTimeout)
	if unlocked == nil {
		defer lock.Release()
	}
	if err := removeStale(ctx, path, unlocked); err != nil {
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

// Remove removes the file, unless it is gone or another one has taken its place. It must be called
// while the socket still listens, because afterwards the path may belong to somebody else at any
// time.
func (s *Socket) Remove() error {
	info, err := os.Lstat(s.path)
	if err != nil || !sameSocket(info, s.made) {
		return nil // the file is gone or another one
	}
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return files.Bare(err)
	}
	return nil
}

// sameSocket reports whether a and b are the same file. It also compares the times, because an
// inode is soon used again. Nobody writes to a socket's file.
func sameSocket(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

// removeStale removes a socket on which nobody listens. It returns an error if anything else is at
// path. unlocked is why this process has no lock; nil: it has.
func removeStale(ctx context.Context, path string, unlocked error) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // nothing is there, or bind reports a better error
	}
	if info.Mode().Type() != fs.ModeSocket {
		return syscall.EADDRINUSE
	}
	stale := isStale(ctx, path)
	switch {
	case errors.Is(unlocked, files.ErrForeignLock):
		if stale { // or another process of this user is about to listen
			time.Sleep(listenTime)
			stale = isStale(ctx, path)
		}
	case unlocked != nil && (stale || ctx.Err() != nil):
		return fmt.Errorf("a socket is there, and the directory cannot be locked: %w", unlocked)
	}
	if !stale {
		return syscall.EADDRINUSE
	}
	if now, err := os.Lstat(path); err != nil || !sameSocket(info, now) {
		return syscall.EADDRINUSE // another program, which takes no turns, was faster
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return files.Bare(err)
	}
	return nil
}

// isStale reports whether nobody listens on a Unix socket any more. A socket that does not answer
// in time, or that this user may not use, is not stale.
func isStale(ctx context.Context, path string) bool {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
