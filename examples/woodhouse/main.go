// Woodhouse: user names and passwords (PLAIN). Passwords and messages cross the network
// unencrypted, so use PLAIN only on networks that you trust.
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
	log.SetPrefix("woodhouse: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	auth, err := zmqauth.New(nil, nil) // for the sockets of zmq4's default context
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
		// Real programs store hashes (HashPassword), often in a file (ConfigurePlainFile).
		auth.ConfigurePlain("global", map[string]string{"ann": "correct horse"}),
		auth.Start(),
		zmqauth.PlainServer(server, "global"),
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

	if err := sayHello(endpoint, "ann", "correct horse"); err != nil {
		return fmt.Errorf("ann was kept out: %w", err)
	}
	// Each message tells the server which user sent it.
	text, metadata, err := server.RecvWithMetadata(0, "User-Id")
	if err != nil {
		return err
	}
	fmt.Printf("ann with the right password: in, %s says %q\n", metadata["User-Id"], text)

	for _, stranger := range []struct{ who, name, password string }{
		{"ann with a wrong password", "ann", "battery staple"},
		{"a user nobody knows", "bob", "correct horse"},
	} {
		err := sayHello(endpoint, stranger.name, stranger.password)
		if !errors.Is(err, zmqauth.ErrDenied) {
			return fmt.Errorf("%s was not refused: %v", stranger.who, err)
		}
		fmt.Printf("%s: refused\n", stranger.who)
	}
	return nil
}

// sayHello is a client that sends a message once the server has let it in.
func sayHello(endpoint, name, password string) error {
	client, err := zmq4.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := zmqauth.PlainClient(client, name, password); err != nil {
		return err
	}
	if err := zmqauth.Connect(ctx, client, endpoint); err != nil {
		return err
	}
	_, err = client.Send("hello", 0)
	return err
}
