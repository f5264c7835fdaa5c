// Plain-callback: user names and passwords that something else knows: a directory, a database, a
// web service. The callback that asks it runs beside the authenticator's loop, and says yes, no, or
// "try again".
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth"
)

const patience = 10 * time.Second // how long anything here may take

func main() {
	log.SetPrefix("plain-callback: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	users, err := newDirectory()
	if err != nil {
		return err
	}
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
		auth.ConfigurePlainCallback("global", users.check),
		auth.Start(),
		server.SetHandshakeIvl(500*time.Millisecond), // how long a client waits before it tries again: 10 s with a role, unless set
		zmqauth.PlainServer(server, "global"),
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

	if err := sayHello(endpoint, "ann", "battery staple"); !errors.Is(err, zmqauth.ErrDenied) {
		return fmt.Errorf("a wrong password was not refused: %v", err)
	}
	fmt.Println("ann with a wrong password: refused")

	users.down.Store(true)
	if err := sayHello(endpoint, "ann", "correct horse"); err != nil {
		return fmt.Errorf("ann was kept out: %w", err)
	}
	text, metadata, err := server.RecvWithMetadata(0, "User-Id")
	if err != nil {
		return err
	}
	if users.down.Load() {
		return errors.New("ann was let in while the directory was down")
	}
	fmt.Printf("ann with the right password: told to try again while the directory is down, then in, %s says %q\n", metadata["User-Id"], text)
	return nil
}

// directory stands for what knows the users.
type directory struct {
	hashes map[string][]byte
	nobody []byte // what an unknown user's password is compared with, so that it takes as long as a known one's
	down   atomic.Bool
}

func newDirectory() (*directory, error) {
	ann, err1 := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.DefaultCost)
	nobody, err2 := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost)
	return &directory{hashes: map[string][]byte{"ann": ann}, nobody: nobody}, errors.Join(err1, err2)
}

// check is the callback. Many of its calls may run at once.
func (d *directory) check(_ context.Context, _, name, password string) (*zmqauth.Identity, error) {
	if d.down.Swap(false) { // it is back for the next one
		return nil, zmqauth.ErrTemporary
	}
	hash, known := d.hashes[name]
	if !known {
		hash = d.nobody
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known {
		return nil, zmqauth.ErrDenied
	}
	return &zmqauth.Identity{}, nil // the user id is the name
}

// sayHello sends a message once the server has let the client in.
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
