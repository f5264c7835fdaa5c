package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/endpoint"
)

// checkEndpoint refuses endpoints to which another process cannot connect.
func checkEndpoint(text string) error {
	transport, address, ok := strings.Cut(text, "://")
	switch {
	case !ok, address == "":
		return usagef("%q: not tcp://HOST:PORT or ipc://PATH", text)
	case transport == endpoint.TCP:
		if _, err := endpoint.ParseConnect(text); err != nil {
			return usagef("%s: %w", text, err)
		}
	case transport == "inproc":
		return usagef("%s: inproc is for one process alone", text)
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
	err = errors.Join(socket.SetLinger(0), role(socket))
	if err != nil {
		return err
	}
	return zmqauth.Connect(ctx, socket, endpoint)
}

// dialTime is how long probe and connect wait for a server by default.
const dialTime = 10 * time.Second
