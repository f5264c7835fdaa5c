package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is how long the path of a Unix socket may be, in bytes (unix(7): 108 with the NUL byte).
const maxSocketPath = 107

// endpoint takes apart what ZeroMQ calls one, "tcp://host:port" or "ipc://path", where network is "" or the address begins
// so; else they are what package net takes: "tcp", "tcp4" or "tcp6" with "host:port", or "unix" with a path.
func endpoint(network, address string) (string, string, error) {
	scheme, rest, found := strings.Cut(address, "://")
	switch {
	case found && scheme == "tcp" && (network == "" || strings.HasPrefix(network, "tcp")):
		address, network = rest, cmp.Or(network, "tcp")
	case found && scheme == "ipc" && (network == "" || network == "unix"):
		address, network = rest, "unix"
	case found || network == "":
		return "", "", fmt.Errorf(`stream: endpoint %q: want "tcp://host:port" or "ipc://path"`, address)
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
		if _, _, err := net.SplitHostPort(address); err != nil {
			return "", "", fmt.Errorf("stream: address %q: want host:port: %w", address, err)
		}
	case "unix":
		if address == "" {
			return "", "", errors.New("stream: a Unix socket without a path")
		}
		if len(address) > maxSocketPath {
			return "", "", fmt.Errorf("stream: %s: the path of a Unix socket may have %d bytes, this one has %d", address, maxSocketPath, len(address))
		}
	default:
		return "", "", fmt.Errorf(`stream: network %q: want "tcp" or "unix"`, network)
	}
	return network, address, nil
}

// listen listens at an endpoint. With a mode that is not 0 a Unix socket has it from the start. A Unix socket at which
// nobody listens any more is replaced.
func listen(ctx context.Context, network, address string, mode fs.FileMode) (net.Listener, error) {
	network, address, err := endpoint(network, address)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	if mode != 0 && network == "unix" {
		config.Control = func(_, _ string, raw syscall.RawConn) error {
			var modeErr error // bind gives the file the mode that the socket has
			err := raw.Control(func(fd uintptr) { modeErr = unix.Fchmod(int(fd), uint32(mode.Perm())) })
			return errors.Join(err, modeErr)
		}
	}
	l, err := config.Listen(ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) && network == "unix" && isStale(address) {
		if err = os.Remove(address); err == nil {
			l, err = config.Listen(ctx, network, address)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return l, nil
}

// isStale tells whether there is a Unix socket at path whose listener is gone.
func isStale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
