package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

// checkEndpoint refuses endpoints to which another process cannot connect.
func checkEndpoint(endpoint string) error {
	transport, address, ok := strings.Cut(endpoint, "://")
	switch {
	case !ok, address == "", transport == "tcp" && !strings.Contains(address, ":"):
		return usagef("%q: not tcp://HOST:PORT or ipc://PATH", endpoint)
	case transport == "inproc":
		return usagef("%s: inproc is for one process alone", endpoint)
	}
	return nil
}

func checkTimeout(timeout time.Duration) error {
	if timeout <= 0 {
		return usagef("--timeout %v: no time at all", timeout)
	}
	return nil
}

// dial tries to connect to an endpoint once.
func dial(ctx context.Context, endpoint string, kind zmq4.Type, role clientRole) (err error) {
	zctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, zctx.Term()) }()
	socket, err := zctx.NewSocket(kind)
	if err != nil {
		return err
	}
	defer socket.Close()
	isIPv6 := strings.Contains(endpoint, "[")
	err = errors.Join(socket.SetLinger(0), socket.SetIpv6(isIPv6), role(socket))
	if err != nil {
		return err
	}
	return zmqauth.Connect(ctx, socket, endpoint)
}

// dialTime is how long probe and connect wait for a server by default.
const dialTime = 10 * time.Second
