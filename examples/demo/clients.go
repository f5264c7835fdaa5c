package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

// from returns a client in Go that connects from the address source. It has a context of its own,
// as a client in another process would have.
func from(source string, role func(*zmq4.Socket) error) func(endpoint string) error {
	return func(endpoint string) (err error) {
		zctx, err := zmq4.NewContext()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, zctx.Term()) }()
		socket, err := zctx.NewSocket(zmq4.PUSH)
		if err != nil {
			return err
		}
		defer func() { _ = socket.Close() }()
		if err := errors.Join(socket.SetLinger(patience), role(socket)); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		// In libzmq, tcp://SOURCE:PORT;HOST:PORT sets the address that a client connects from.
		address := strings.Replace(endpoint, "tcp://", "tcp://"+source+":0;", 1)
		if err := zmqauth.Connect(ctx, socket, address); err != nil {
			return errors.Join(err, socket.SetLinger(0))
		}
		_, err = socket.Send("hello from Go", 0)
		return err
	}
}

//go:embed client.py
var pythonClient string

// findPython returns a Python that has the module zmq, or "" if there is none.
func findPython() string {
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import zmq").Run() == nil {
			return python
		}
	}
	return ""
}

// fromPython returns a client in Python that runs in a process of its own.
func fromPython(
	python string, serverKey zmqauth.PublicKey, keys *zmqauth.Certificate,
) func(endpoint string) error {
	return func(endpoint string) error {
		command := exec.Command(python, "-c", pythonClient, endpoint, "CURVE")
		credentials := []string{serverKey.String(), keys.Public.String(), keys.Secret.Z85(), ""}
		command.Stdin = strings.NewReader(strings.Join(credentials, "\n"))
		out, err := command.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		switch outcome := strings.TrimSpace(string(out)); outcome {
		case "200":
			return nil
		case "400":
			return zmqauth.ErrDenied
		default:
			return errors.New(outcome)
		}
	}
}
