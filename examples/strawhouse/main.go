// Strawhouse: rules about addresses. The server lets clients in by the address they connect from.
// There are no credentials and no encryption, but it is a start.
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

const patience = 10 * time.Second // how long any step may take

func main() {
	log.SetPrefix("strawhouse: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	// One Authenticator decides for all sockets of a context. The first nil is zmq4's default context,
	// the second the default settings.
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
		// Allow takes addresses and networks such as 10.0.0.0/8. All other addresses are refused.
		auth.Allow("127.0.0.1"),
		auth.Start(),
		zmqauth.NullServer(server, "global"),
		server.SetRcvtimeo(patience),
	)
	if err != nil {
		return err
	}
	// Set the role before binding: a socket without a role lets everybody in. The kernel chooses a
	// free port.
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

// sayHello is a client that connects from the address source. It sends a message once the server
// has let it in.
func sayHello(endpoint, source string) error {
	client, err := zmq4.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// In libzmq, tcp://SOURCE:PORT;HOST:PORT sets the address that a client connects from. Port 0
	// means any port.
	address := strings.Replace(endpoint, "tcp://", "tcp://"+source+":0;", 1)
	if err := zmqauth.Connect(ctx, client, address); err != nil {
		return err
	}
	_, err = client.Send("hello", 0)
	return err
}
