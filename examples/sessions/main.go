// Sessions: a server that knows who is connected, and throws out whoever loses his key. Of two
// clients one is revoked while both are connected. His connection ends within a second; the other
// client notices nothing.
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
	log.SetPrefix("sessions: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// change is what OnSession tells.
type change struct {
	zmqauth.Session
	open bool
}

func run() error {
	changes := make(chan change, 10)
	auth, err := zmqauth.New(nil, &zmqauth.Config{
		OnSession: func(s zmqauth.Session, open bool) { changes <- change{s, open} },
	})
	if err != nil {
		return err
	}
	defer auth.Close()
	var clients zmqauth.Credentials
	serverCert, err := zmqauth.NewCertificate()
	if err != nil {
		return err
	}
	server, err := zmq4.NewSocket(zmq4.PULL)
	if err != nil {
		return err
	}
	defer server.Close()
	err = errors.Join(
		auth.ConfigureCredentials("global", &clients),
		auth.Start(),
		server.SetRcvtimeo(patience),
		zmqauth.CurveServer(server, "global", serverCert),
		auth.Guard(server, &zmqauth.Limits{PerAddress: 100}), // after the role, before Bind
		server.Bind("tcp://127.0.0.1:*"),
	)
	if err != nil {
		return err
	}
	endpoint, err := server.GetLastEndpoint()
	if err != nil {
		return err
	}

	ann, annKey, err := enter(&clients, "ann", endpoint, serverCert.Public)
	if err != nil {
		return err
	}
	defer ann.Close()
	if err := report(changes); err != nil {
		return err
	}
	bob, _, err := enter(&clients, "bob", endpoint, serverCert.Public)
	if err != nil {
		return err
	}
	defer bob.Close()
	if err := report(changes); err != nil {
		return err
	}
	fmt.Printf("%d sessions\n", len(auth.Sessions()))

	clients.DeleteKey(annKey) // ann is connected, and does nothing
	if err := report(changes); err != nil {
		return err
	}
	if _, err := bob.Send("still here", 0); err != nil {
		return err
	}
	text, metadata, err := server.RecvWithMetadata(0, "User-Id", "Session-Id")
	if err != nil {
		return err
	}
	s := auth.Sessions()[0]
	if metadata["Session-Id"] != fmt.Sprint(s.ID) {
		return fmt.Errorf("a message of session %s", metadata["Session-Id"])
	}
	fmt.Printf("%s, whose connection goes on, says %q\n", metadata["User-Id"], text)
	return nil
}

// enter lets a new key in, and connects a client that has it.
func enter(clients *zmqauth.Credentials, name, endpoint string, server zmqauth.PublicKey) (
	*zmq4.Socket, zmqauth.PublicKey, error) {
	own, err := zmqauth.NewCertificate()
	if err != nil {
		return nil, zmqauth.PublicKey{}, err
	}
	entry := zmqauth.Entry{Identity: zmqauth.Identity{UserID: name}}
	if err := clients.SetKey(own.Public, entry); err != nil {
		return nil, own.Public, err
	}
	client, err := zmq4.NewSocket(zmq4.PUSH)
	if err != nil {
		return nil, own.Public, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = errors.Join(zmqauth.CurveClient(client, server, own), client.SetLinger(0))
	if err == nil {
		err = zmqauth.Connect(ctx, client, endpoint)
	}
	return client, own.Public, err
}

// report prints the next change.
func report(changes <-chan change) error {
	select {
	case c := <-changes:
		what := "is out"
		if c.open {
			what = "is in"
		}
		fmt.Printf("%s %s, at %s\n", c.UserID, what, c.Client.Addr())
		return nil
	case <-time.After(patience):
		return errors.New("no session has opened or ended")
	}
}
