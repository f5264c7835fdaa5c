// Pollloop: a program with a poll loop of its own serves the ZAP socket beside its other sockets.
// HandleZAPMessage judges each request, and nothing runs in the background. It waits for the answer
// of a callback, and meanwhile the loop serves nobody. Programs with callbacks should use Start or
// Attach instead.
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
	log.SetPrefix("pollloop: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	auth, err := zmqauth.New(nil, nil) // neither started nor attached
	if err != nil {
		return err
	}
	defer auth.Close()
	if err := auth.ConfigurePlain("global", map[string]string{"ann": "correct horse"}); err != nil {
		return err
	}
	zap, err := zmq4.NewSocket(zmq4.REP)
	if err != nil {
		return err
	}
	defer zap.Close()
	server, err := zmq4.NewSocket(zmq4.PULL)
	if err != nil {
		return err
	}
	defer server.Close()
	err = errors.Join(
		zap.Bind(zmqauth.ZAPEndpoint), // where libzmq sends its requests
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

	failed := make(chan error, 1)
	go func() {
		if err := visit(endpoint); err != nil {
			failed <- err
		}
	}()
	return loop(auth, zap, server, failed)
}

// loop serves both sockets until a message has arrived or a client has failed.
func loop(auth *zmqauth.Authenticator, zap, server *zmq4.Socket, failed <-chan error) error {
	poller := zmq4.NewPoller()
	poller.Add(zap, zmq4.POLLIN)
	poller.Add(server, zmq4.POLLIN)
	for {
		select {
		case err := <-failed:
			return err
		default:
		}
		ready, err := poller.Poll(10 * time.Millisecond)
		if err != nil {
			return err
		}
		for _, p := range ready {
			if p.Socket == server {
				return receive(server)
			}
			if err := judge(auth, zap); err != nil {
				return err
			}
		}
	}
}

// judge answers one request of libzmq.
func judge(auth *zmqauth.Authenticator, zap *zmq4.Socket) error {
	request, err := zap.RecvMessageBytes(0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	reply := auth.HandleZAPMessage(ctx, request)
	if reply == nil {
		return errors.New("a request that is too short to be answered, which libzmq never sends")
	}
	fmt.Printf("judged: %s\n", reply[2]) // the status
	_, err = zap.SendMessage(reply)
	return err
}

// receive prints one message of a client.
func receive(server *zmq4.Socket) error {
	text, metadata, err := server.RecvWithMetadata(0, "User-Id")
	if err != nil {
		return err
	}
	fmt.Printf("%s says %q\n", metadata["User-Id"], text)
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
