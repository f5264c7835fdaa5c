package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// endpoint returns the network and the address that package net takes. The input is either a ZeroMQ
// endpoint, "tcp://host:port" or "ipc://path", whose network is "" or agrees with it; or what
// package net takes already: "tcp", "tcp4" or "tcp6" with "host:port", or "unix" with a path.
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
		if len(address) > privatedir.MaxPath {
			return "", "", fmt.Errorf(
				"stream: %s: the path of a Unix socket may have %d bytes, this one has %d",
				address, privatedir.MaxPath, len(address))
		}
	default:
		return "", "", fmt.Errorf(`stream: network %q: want "tcp" or "unix"`, network)
	}
	return network, address, nil
}

// listen listens on an endpoint. It replaces a Unix socket on which nobody listens any more. A mode
// other than 0 is the mode of the new socket before anybody can connect.
func listen(ctx context.Context, network, address string, mode fs.FileMode) (net.Listener, error) {
	network, address, err := endpoint(network, address)
	if err != nil {
		return nil, err
	}
	var l net.Listener
	if network == "unix" && address[0] != '@' { // an abstract socket has no file
		l, err = privatedir.Listen(ctx, address, mode)
	} else {
		var config net.ListenConfig
		l, err = config.Listen(ctx, network, address)
	}
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return l, nil
}
