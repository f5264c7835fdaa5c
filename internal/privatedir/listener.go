package privatedir

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"sync"
)

// Listen listens on a Unix socket at path. It replaces an existing socket under the same rules as
// Bind. A mode other than 0, less the bits of the umask, is the mode of the file before anybody can
// connect. (Windows has no modes.) Close removes the file, unless another one has taken its place.
// Errors are those of [net.Listen].
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

// listener is a net.UnixListener that removes only its own file.
type listener struct {
	*net.UnixListener
	remove func() error // once
}

func (l *listener) Close() error {
	// The file is removed first. After the listener is closed, somebody else could take the path.
	return errors.Join(l.remove(), l.UnixListener.Close())
}
