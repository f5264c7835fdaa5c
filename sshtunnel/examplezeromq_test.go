//go:build cgo

package sshtunnel_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/sshtunnel"
)

// A ZeroMQ client of a server that only the SSH server can reach.
func Example() {
	gateway := startGateway() // an SSH server that lets ann in; a real one is in ~/.ssh/config
	defer gateway.stop()
	server, _ := zmq4.NewSocket(zmq4.REP)
	defer server.Close()
	if err := server.Bind("tcp://127.0.0.1:*"); err != nil {
		fmt.Println(err)
		return
	}
	endpoint, _ := server.GetLastEndpoint()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tunnel, err := sshtunnel.Open(ctx, sshtunnel.Config{
		Host: "gateway", ConfigFile: gateway.sshConfig, // "" would be ~/.ssh/config
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	client, _ := zmq4.NewSocket(zmq4.REQ)
	defer client.Close()
	if err := tunnel.Connect(client, endpoint); err != nil { // instead of client.Connect
		fmt.Println(err)
		return
	}
	client.Send("hello", 0)
	fmt.Println(server.Recv(0))
	// Output: hello <nil>
}
