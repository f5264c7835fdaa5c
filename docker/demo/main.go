// Command demo has the programs of ../compose.yaml: the service behind the proxy, a client that
// gets in, and a stranger that does not.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pebbe/zmq4"
	"github.com/zmqauth/zmqauth"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "backend":
		return backend(args[1])
	case len(args) == 4 && args[0] == "client":
		return client(args[1], args[2], args[3])
	case len(args) == 5 && args[0] == "stranger":
		return stranger(args[1], args[2], args[3], args[4])
	case len(args) == 1 && args[0] == "verdict":
		fmt.Println("the client was served, the stranger was not")
		return nil
	}
	return errors.New("usage: backend ENDPOINT | client ENDPOINT SERVER CERTIFICATE | " +
		"stranger ENDPOINT SERVER CERTIFICATE BACKEND | verdict")
}

// backend echoes every message. It knows nothing of security.
func backend(endpoint string) error {
	socket, err := zmq4.NewSocket(zmq4.REP)
	if err != nil {
		return err
	}
	if err := socket.Bind(endpoint); err != nil {
		return err
	}
	for {
		text, err := socket.Recv(0)
		if err != nil {
			return err
		}
		if _, err := socket.Send("echo: "+text, 0); err != nil {
			return err
		}
	}
}

// client must get in and get a reply to each of its requests.
func client(endpoint, serverFile, certificateFile string) error {
	socket, err := connect(endpoint, serverFile, certificateFile)
	if err != nil {
		return err
	}
	defer socket.Close()
	for i := range 1000 {
		if _, err := socket.Send(fmt.Sprint("request ", i), 0); err != nil {
			return err
		}
		reply, err := socket.Recv(0)
		if err != nil {
			return err
		}
		if want := fmt.Sprint("echo: request ", i); reply != want {
			return fmt.Errorf("the reply is %q, not %q", reply, want)
		}
	}
	fmt.Println("let in, and 1000 requests answered")
	return nil
}

// stranger must be refused by the proxy and must not reach the backend directly.
func stranger(endpoint, serverFile, certificateFile, backend string) error {
	socket, err := connect(endpoint, serverFile, certificateFile)
	if err == nil {
		_ = socket.Close()
		return errors.New("a stranger has been let in")
	}
	if !errors.Is(err, zmqauth.ErrDenied) {
		return fmt.Errorf("refused, but not by the authenticator: %w", err)
	}
	fmt.Println("refused:", err)
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(backend, "tcp://"), 3*time.Second)
	if err == nil {
		_ = conn.Close()
		return errors.New("the backend can be reached past the proxy")
	}
	return nil
}

// connect returns a socket after the proxy has let the client in.
func connect(endpoint, serverFile, certificateFile string) (*zmq4.Socket, error) {
	server, err := zmqauth.LoadCertificate(serverFile)
	if err != nil {
		return nil, err
	}
	certificate, err := zmqauth.LoadCertificate(certificateFile)
	if err != nil {
		return nil, err
	}
	socket, err := zmq4.NewSocket(zmq4.REQ)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = zmqauth.CurveClient(socket, server.Public, certificate)
	if err == nil {
		err = socket.SetRcvtimeo(20 * time.Second)
	}
	if err == nil {
		err = zmqauth.Connect(ctx, socket, endpoint)
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return socket, nil
}
