package zapproxy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// A service has the rules, and a program of the same host has it asked. Here both are one process.
func Example() {
	dir, err := os.MkdirTemp("", "zapproxy") // in earnest: a directory of the service's group
	check(err)
	defer os.RemoveAll(dir)
	endpoint := "ipc://" + dir + "/zap.sock"

	// The service.
	auth, err := zmqauth.New(nil, nil)
	check(err)
	defer auth.Close()
	check(auth.ConfigurePlain("orders", map[string]string{"ann": "a password"}))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- zapproxy.Serve(ctx, auth, endpoint) }()

	// The program, before it binds its first socket.
	zctx, err := zmq4.NewContext()
	check(err)
	link, err := zapproxy.Relay(zctx, endpoint)
	check(err)
	for !link.Stats().Connected { // only so that the output is always the same
		time.Sleep(time.Millisecond)
	}
	server, err := zctx.NewSocket(zmq4.DEALER)
	check(err)
	check(zmqauth.PlainServer(server, "orders"))
	check(server.Bind("tcp://127.0.0.1:*"))
	address, err := server.GetLastEndpoint()
	check(err)

	// Two clients.
	for _, password := range []string{"a password", "a guess"} {
		client, err := zctx.NewSocket(zmq4.DEALER)
		check(err)
		check(zmqauth.PlainClient(client, "ann", password))
		err = zmqauth.Connect(context.Background(), client, address)
		fmt.Println(err == nil, errors.Is(err, zmqauth.ErrDenied))
		check(client.Close())
	}
	check(server.Close())
	check(link.Close())
	check(zctx.Term())
	stop()
	check(<-ended)
	// Output:
	// true false
	// false true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
