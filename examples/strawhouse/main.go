// Strawhouse: rules about addresses. The server lets in whoever comes from an allowed address: no
// credentials, no encryption, but a start.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

const patience = 10 * time.Second // how long anything here may take

func main() {
	log.SetPrefix("strawhouse: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	// One Authenticator decides for all sockets of a context: nil, nil is zmq4's default context, the
	// default settings.
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		return err
	}
	defer auth.Close()
	server, err := zmq4.NewSocket(zmq4.PULL)
	if err != nil {
		return err
	}
	defer server.Close()
	err = errors.Join(
		auth.Allow("127.0.0.1"), // single addresses or networks such as 10.0.0.0/8; all others are refused
		auth.Start(),
		zmqauth.NullServer(server, "global"),
		server.SetRcvtimeo(patience),
	)
	if err != nil {
		return err
	}
	// Only with its role on the socket is it safe to bind. The kernel chooses a free port.
	if err := server.Bind("tcp://127.0.0.1:*"); err != nil {
		return err
	}
	endpoint, err := server.GetLastEndpoint()
	if err != nil {
		return err
	}

	if err := sayHello(endpoint, "127.0.0.1"); err != nil {
		return fmt.Errorf("the allowed address was kept out: %w", err)
	}
	text, err := server.Recv(0)
	if err != nil {
		return err
	}
	fmt.Printf("from 127.0.0.1: in, it says %q\n", text)

	if err := sayHello(endpoint, "127.0.0.2"); !errors.Is(err, zmqauth.ErrDenied) {
		return fmt.Errorf("another address was not refused: %v", err)
	}
	fmt.Println("from 127.0.0.2: refused")
	return nil
}

// sayHello sends a message from the address source, once the server has let the client in.
func sayHello(endpoint, source string) error {
	client, err := zmq4.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// tcp://SOURCE:PORT;HOST:PORT is libzmq's way to choose the address that a client comes from; port
	// 0 is any.
	address := strings.Replace(endpoint, "tcp://", "tcp://"+source+":0;", 1)
	if err := zmqauth.Connect(ctx, client, address); err != nil {
		return err
	}
	_, err = client.Send("hello", 0)
	return err
}
