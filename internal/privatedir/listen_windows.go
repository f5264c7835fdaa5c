package privatedir

import (
	"io/fs"
	"net"
)

// listen makes a Unix socket. Windows has no modes.
func listen(path string, _ fs.FileMode) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}
