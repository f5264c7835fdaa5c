// Grasslands: no security at all. Every client that reaches the port gets in, and everybody on the
// network path can read the messages. This is what a ZeroMQ socket does by default. The other
// examples improve on it one step at a time: strawhouse, woodhouse, stonehouse, ironhouse.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

const patience = 10 * time.Second // how long any step may take

func main() {
	log.SetPrefix("grasslands: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	server, err := zmq4.NewSocket(zmq4.PULL)
	if err != nil {
		return err
	}
	defer server.Close()
	// The kernel chooses a free port.
	if err := errors.Join(server.SetRcvtimeo(patience), server.Bind("tcp://127.0.0.1:*")); err != nil {
		return err
	}
	endpoint, err := server.GetLastEndpoint()
	if err != nil {
		return err
	}

	client, err := zmq4.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := zmqauth.Connect(ctx, client, endpoint); err != nil {
		return err
	}
	if _, err := client.Send("hello", 0); err != nil {
		return err
	}
	text, err := server.Recv(0)
	if err != nil {
		return err
	}
	fmt.Printf("a client without any credentials: in, it says %q\n", text)

	// Probe shows how the port treats clients that have no credentials. The servers of the other
	// examples let none of them in.
	results, err := zmqauth.Probe(ctx, endpoint)
	if err != nil {
		return err
	}
	for _, result := range results {
		fmt.Println("a stranger with", result)
	}
	if !results[0].Accepted {
		return errors.New("a NULL client was kept out")
	}
	return nil
}
