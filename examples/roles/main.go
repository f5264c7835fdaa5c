// Roles: what a user may do. The authenticator says who a client is and which role he has; both
// come with each of his messages, and the server decides by them.
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

const patience = 10 * time.Second // how long anything here may take

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
	// A client can set properties too. Those named here are the authenticator's alone: a user without
	// a role has an empty one.
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
	err = errors.Join(
		auth.ConfigureCurveCallback("global", func(_ context.Context, _ string, key zmqauth.PublicKey) (*zmqauth.Identity, error) {
			return users[key], nil // nil, nil refuses
		}),
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

// allowed is what the roles may do. A role that is not there may do nothing.
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
	_, err = server.Send(fmt.Sprintf("%s, %s: %s: %s", metadata["User-Id"], metadata["Role"], request, outcome), 0)
	return err
}

// ask is a client that sends one request; the server, which would have a goroutine of its own,
// answers it in between.
func ask(server *zmq4.Socket, endpoint string, serverKey zmqauth.PublicKey, user *zmqauth.Certificate, request string) (reply string, err error) {
	client, err := zmq4.NewSocket(zmq4.REQ)
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := errors.Join(client.SetRcvtimeo(patience), zmqauth.CurveClient(client, serverKey, user)); err != nil {
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
