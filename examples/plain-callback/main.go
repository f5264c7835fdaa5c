// Plain-callback: something else checks user names and passwords, such as a directory, a database
// or a web service. The callback that asks it runs on a goroutine of its own. It answers yes, no or
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

const patience = 10 * time.Second // how long any step may take

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
		// A client that is told to try again does so after this time. The role sets 10 s unless the
		// program has set another one.
		server.SetHandshakeIvl(500*time.Millisecond),
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
	fmt.Print("ann with the right password: told to try again while the directory is down, then in, ")
	fmt.Printf("%s says %q\n", metadata["User-Id"], text)
	return nil
}

// directory stands for the service that knows the users.
type directory struct {
	hashes map[string][]byte
	// nobody is the hash to compare with for unknown users. It makes their refusal take as long as
	// that of a known user, so that the time does not tell which names exist.
	nobody []byte
	down   atomic.Bool // the next call fails
}

func newDirectory() (*directory, error) {
	ann, err1 := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.DefaultCost)
	nobody, err2 := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost)
	return &directory{hashes: map[string][]byte{"ann": ann}, nobody: nobody}, errors.Join(err1, err2)
}

// check is the callback. Many calls of it may run at the same time.
func (d *directory) check(_ context.Context, _, name, password string) (*zmqauth.Identity, error) {
	if d.down.Swap(false) { // the directory is up again for the next call
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
