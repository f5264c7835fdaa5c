// Roles: what a user may do. The Authenticator gives each client a user id and a role. Both come
// with every message of that client, and the server uses them to decide.
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
	log.SetPrefix("roles: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ann, err1 := zmqauth.NewCertificate()
	bob, err2 := zmqauth.NewCertificate()
	serverCert, err3 := zmqauth.NewCertificate()
	// A client can set message properties too. Only the Authenticator sets those named here: the role
	// of a user without one is empty, whatever the client has set.
	auth, err4 := zmqauth.New(nil, &zmqauth.Config{Properties: []string{"Role"}})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	defer auth.Close()
	users := map[zmqauth.PublicKey]*zmqauth.Identity{
		ann.Public: {UserID: "ann", Metadata: map[string]string{"Role": "operator"}},
		bob.Public: {UserID: "bob", Metadata: map[string]string{"Role": "viewer"}},
	}
	server, err := zmq4.NewSocket(zmq4.REP)
	if err != nil {
		return err
	}
	defer server.Close()
	lookUp := func(_ context.Context, _ string, key zmqauth.PublicKey) (*zmqauth.Identity, error) {
		return users[key], nil // a nil identity refuses the client
	}
	err = errors.Join(
		auth.ConfigureCurveCallback("global", lookUp),
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

	for _, test := range []struct {
		user    *zmqauth.Certificate
		request string
		want    string
	}{
		{ann, "read", "ann, operator: read: done"},
		{ann, "write", "ann, operator: write: done"},
		{bob, "read", "bob, viewer: read: done"},
		{bob, "write", "bob, viewer: write: not allowed"},
	} {
		reply, err := ask(server, endpoint, serverCert.Public, test.user, test.request)
		if err != nil {
			return err
		}
		fmt.Println(reply)
		if reply != test.want {
			return fmt.Errorf("the reply should have been %q", test.want)
		}
	}
	return nil
}

// allowed lists what each role may do. A role that is not listed may do nothing.
var allowed = map[string]map[string]bool{
	"operator": {"read": true, "write": true},
	"viewer":   {"read": true},
}

// serveOne answers one request.
func serveOne(server *zmq4.Socket) error {
	request, metadata, err := server.RecvWithMetadata(0, "User-Id", "Role")
	if err != nil {
		return err
	}
	outcome := "not allowed"
	if allowed[metadata["Role"]][request] {
		outcome = "done"
	}
	user, role := metadata["User-Id"], metadata["Role"]
	_, err = server.Send(fmt.Sprintf("%s, %s: %s: %s", user, role, request, outcome), 0)
	return err
}

// ask is a client that sends one request and returns the reply. It calls serveOne in between; a
// real server runs on a goroutine of its own.
func ask(
	server *zmq4.Socket, endpoint string, serverKey zmqauth.PublicKey,
	user *zmqauth.Certificate, request string,
) (reply string, err error) {
	client, err := zmq4.NewSocket(zmq4.REQ)
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = errors.Join(
		client.SetRcvtimeo(patience),
		zmqauth.CurveClient(client, serverKey, user),
	)
	if err != nil {
		return "", err
	}
	if err := zmqauth.Connect(ctx, client, endpoint); err != nil {
		return "", err
	}
	if _, err := client.Send(request, 0); err != nil {
		return "", err
	}
	if err := serveOne(server); err != nil {
		return "", err
	}
	return client.Recv(0)
}
