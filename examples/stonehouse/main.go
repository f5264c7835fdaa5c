// Stonehouse: encryption, and a server that proves its identity (CURVE). Nobody can read the
// messages on the way, and no other server can take the place of this one. But clients with any key
// at all get in.
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
	log.SetPrefix("stonehouse: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	serverCert, err := zmqauth.NewCertificate()
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
		auth.ConfigureCurve("global", zmqauth.CurveAllowAny),
		auth.Start(),
		zmqauth.CurveServer(server, "global", serverCert),
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

	clientCert, err := zmqauth.NewCertificate()
	if err != nil {
		return err
	}
	if err := sayHello(endpoint, serverCert.Public, clientCert); err != nil {
		return fmt.Errorf("a client with a key of its own was kept out: %w", err)
	}
	text, metadata, err := server.RecvWithMetadata(0, "User-Id")
	if err != nil {
		return err
	}
	if metadata["User-Id"] != clientCert.Public.String() {
		return fmt.Errorf("the user id is %q, not the client's key", metadata["User-Id"])
	}
	fmt.Printf("a client with any key: in, it says %q, its key is its user id\n", text)

	// A client that expects another server's key ends the handshake itself.
	var cutOff *zmqauth.HandshakeError
	if err := sayHello(endpoint, clientCert.Public, clientCert); !errors.As(err, &cutOff) {
		return fmt.Errorf("a client that expects another server's key: %v", err)
	}
	fmt.Println("a client that expects another server's key: not in")
	return nil
}

// sayHello is a client that sends a message once the server has let it in. It proves that it has
// the secret key of its certificate, and it talks only to the server that has serverKey's.
func sayHello(endpoint string, serverKey zmqauth.PublicKey, own *zmqauth.Certificate) error {
	client, err := zmq4.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := zmqauth.CurveClient(client, serverKey, own); err != nil {
		return err
	}
	if err := zmqauth.Connect(ctx, client, endpoint); err != nil {
		return err
	}
	_, err = client.Send("hello", 0)
	return err
}
