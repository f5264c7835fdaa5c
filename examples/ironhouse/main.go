// Ironhouse: encryption, and only clients whose key the server knows (CURVE). The server reads
// their certificates from a directory and follows changes there. A client gets in within a second
// after its certificate is added, and is refused within a second after it is removed. The program
// calls nothing for that.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

const patience = 10 * time.Second // how long any step may take

func main() {
	log.SetPrefix("ironhouse: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	home, err := os.MkdirTemp("", "ironhouse")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	known, stranger, serverCert, err := makeCertificates(home)
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
		auth.ConfigureCurve("global", filepath.Join(home, "clients")),
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

	if err := sayHello(endpoint, serverCert.Public, known); err != nil {
		return fmt.Errorf("a known client was kept out: %w", err)
	}
	// Every message of a client carries the metadata of its certificate.
	text, metadata, err := server.RecvWithMetadata(0, "Name")
	if err != nil {
		return err
	}
	name := metadata["Name"]
	fmt.Printf("a client whose certificate is in the directory: in, %s says %q\n", name, text)

	if err := sayHello(endpoint, serverCert.Public, stranger); !errors.Is(err, zmqauth.ErrDenied) {
		return fmt.Errorf("a stranger was not refused: %v", err)
	}
	fmt.Println("a client whose certificate is not there: refused")
	return nil
}

// makeCertificates writes a public and a secret file for each client and for the server. Real
// certificates are made once and kept. The public file of a known client goes into the server's
// directory; a secret file never leaves its owner.
func makeCertificates(home string) (known, stranger, server *zmqauth.Certificate, err error) {
	clients := filepath.Join(home, "clients")
	if err := os.Mkdir(clients, 0o700); err != nil {
		return nil, nil, nil, err
	}
	var loaded []*zmqauth.Certificate
	for _, name := range []string{"ann", "mallory", "server"} {
		public, secret, err := zmqauth.CreateCertificates(home, name, map[string]string{"Name": name})
		if err != nil {
			return nil, nil, nil, err
		}
		if name == "ann" {
			if err := os.Rename(public, filepath.Join(clients, "ann.key")); err != nil {
				return nil, nil, nil, err
			}
		}
		certificate, err := zmqauth.LoadCertificate(secret)
		if err != nil {
			return nil, nil, nil, err
		}
		loaded = append(loaded, certificate)
	}
	return loaded[0], loaded[1], loaded[2], nil
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
