// Ironhouse: encryption, and only clients whose key the server knows (CURVE). Their certificates
// are files in a directory that is followed: a certificate that is added lets its owner in, one
// that is removed keeps him out, within a second and without a call.
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

const patience = 10 * time.Second // how long anything here may take

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
	// Only with its role on the socket is it safe to bind. The kernel chooses a free port.
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
	// The metadata of a certificate is that of its client's messages.
	text, metadata, err := server.RecvWithMetadata(0, "Name")
	if err != nil {
		return err
	}
	fmt.Printf("a client whose certificate is in the directory: in, %s says %q\n", metadata["Name"], text)

	if err := sayHello(endpoint, serverCert.Public, stranger); !errors.Is(err, zmqauth.ErrDenied) {
		return fmt.Errorf("a stranger was not refused: %v", err)
	}
	fmt.Println("a client whose certificate is not there: refused")
	return nil
}

// makeCertificates makes a pair of files for each who takes part; real ones are made once, and
// kept. The public file of a known client goes into the server's directory; a secret one never
// leaves its owner.
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

// sayHello sends a message once the server has let the client in. The client proves its own key,
// and talks to no server but the one that has the key it knows.
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
