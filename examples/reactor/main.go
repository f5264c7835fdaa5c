// Reactor: a zmq4.Reactor serves the program's sockets and the Authenticator too. Decisions and the
// program's own handlers then run on one goroutine and need no locks between them.
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
	log.SetPrefix("reactor: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	// OnDecision runs on a goroutine of its own, so it may be slow.
	decisions := make(chan zmqauth.Decision, 2)
	auth, err := zmqauth.New(nil, &zmqauth.Config{
		OnDecision: func(d zmqauth.Decision) { decisions <- d },
	})
	if err != nil {
		return err
	}
	defer auth.Close()
	server, err := zmq4.NewSocket(zmq4.PULL)
	if err != nil {
		return err
	}
	defer server.Close()
	reactor := zmq4.NewReactor()
	err = errors.Join(
		auth.ConfigurePlain("global", map[string]string{"ann": "correct horse"}),
		auth.Attach(reactor), // in place of Start
		zmqauth.PlainServer(server, "global"),
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

	// The reactor runs until a handler returns an error. Here that happens when a message has arrived
	// or a client has failed.
	errDone := errors.New("a message has arrived")
	reactor.AddSocket(server, zmq4.POLLIN, func(zmq4.State) error {
		text, metadata, err := server.RecvWithMetadata(0, "User-Id")
		if err != nil {
			return err
		}
		fmt.Printf("%s says %q\n", metadata["User-Id"], text)
		return errDone
	})
	failed := make(chan any)
	reactor.AddChannel(failed, 1, func(err any) error { return err.(error) })
	go func() {
		if err := visit(endpoint); err != nil {
			failed <- err
		}
	}()
	if err := reactor.Run(10 * time.Millisecond); !errors.Is(err, errDone) {
		return err
	}
	for range 2 {
		d := <-decisions
		fmt.Printf("decided: %d %s\n", d.Status, d.Reason)
	}
	return nil
}

// visit connects twice: first with a wrong password, then with the right one.
func visit(endpoint string) error {
	if err := sayHello(endpoint, "ann", "battery staple"); !errors.Is(err, zmqauth.ErrDenied) {
		return fmt.Errorf("a wrong password was not refused: %v", err)
	}
	if err := sayHello(endpoint, "ann", "correct horse"); err != nil {
		return fmt.Errorf("ann was kept out: %w", err)
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
