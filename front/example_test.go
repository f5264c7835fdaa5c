//go:build linux

package front_test

import (
	"errors"
	"fmt"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/front"
)

// A PLAIN server whose port strangers reach.
func ExampleListen() {
	auth, err := zmqauth.New(nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	server, _ := zmq4.NewSocket(zmq4.REP)
	defer server.Close()
	err = errors.Join(
		auth.ConfigurePlain("global", map[string]string{"ann": "correct horse"}),
		auth.Deny("192.0.2.0/24"),
		auth.Start(),
		zmqauth.PlainServer(server, "global"),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := front.Listen(auth, server, "tcp://127.0.0.1:*", &front.Config{
		Limits: &zmqauth.Limits{MaxConns: 10_000, PerAddress: 100, Rate: 20, Burst: 50},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()

	client, _ := zmq4.NewSocket(zmq4.REQ)
	defer client.Close()
	err = errors.Join(
		client.SetLinger(0),
		zmqauth.PlainClient(client, "ann", "correct horse"),
		client.Connect(f.Endpoint()),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = client.Send("hello", 0)
	text, metadata, _ := server.RecvWithMetadata(0, "User-Id", "Client-Address")
	fmt.Println(text, "from", metadata["User-Id"], "at", metadata["Client-Address"])
	// Output: hello from ann at 127.0.0.1
}
