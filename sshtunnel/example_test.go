package sshtunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/sshtunnel"
)

// A ZeroMQ client whose server only the SSH server can reach.
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

// Any client that takes a dialler goes through a tunnel, here one of package net/http.
func ExampleTunnel_Dial() {
	gateway := startGateway()
	defer gateway.stop()
	website := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer website.Close()

	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{Host: "gateway", ConfigFile: gateway.sshConfig})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: tunnel.Dial}}
	response, err := client.Get(website.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	fmt.Printf("%s, %v\n", text, err)
	// Output: hello, <nil>
}

// A forward for another program, or for a socket that is to be disconnected later.
func ExampleTunnel_Forward() {
	gateway := startGateway()
	defer gateway.stop()
	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{Host: "gateway", ConfigFile: gateway.sshConfig})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	endpoint, err := tunnel.Forward("tcp://10.1.2.3:5555")
	path, private := strings.CutPrefix(endpoint, "ipc://")
	fmt.Println(private, err)

	info, err := os.Stat(path[:strings.LastIndex(path, "/")]) // the directory that it is in
	fmt.Println(info.Mode(), err)
	_, err = tunnel.Forward("tcp://*:5555")
	fmt.Println(err)
	// Output:
	// true <nil>
	// drwx------ <nil>
	// sshtunnel: endpoint "tcp://*:5555": "*" is not a host to connect to
}

// A host that is met for the first time: somebody is asked, and its key recorded.
func ExampleHostKeyError() {
	gateway := startGateway()
	defer gateway.stop()
	cfg := sshtunnel.Config{Host: "gateway", ConfigFile: gateway.sshConfig, KnownHosts: gateway.dir + "/empty"}
	_, err := sshtunnel.Open(context.Background(), cfg)
	var stranger *sshtunnel.HostKeyError
	if !errors.As(err, &stranger) || !errors.Is(err, sshtunnel.ErrUnknownHost) {
		fmt.Println("want an unknown host, got", err)
		return
	}
	fmt.Println("the fingerprint that somebody is to compare:", strings.HasPrefix(stranger.Fingerprint, "SHA256:"))
	if err := os.WriteFile(stranger.File, []byte(stranger.Entry+"\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	tunnel, err := sshtunnel.Open(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("known now:", tunnel.Err(), tunnel.Close())
	// Output:
	// the fingerprint that somebody is to compare: true
	// known now: <nil> <nil>
}

// A gateway behind another one that wants a password, which ssh_config cannot hold. Passwords are sent to the host that they
// are for, and to no other.
func ExampleConfig_jumps() {
	outer, inner := startGateway(), startGateway()
	defer outer.stop()
	defer inner.stop()
	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{
		Host: "gateway", ConfigFile: inner.sshConfig,
		Jumps: []sshtunnel.Config{{
			Host: "gateway", ConfigFile: outer.sshConfig,
			Password: func() (string, error) { return os.Getenv("GATEWAY_PASSWORD"), nil },
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	defer listener.Close()
	conn, err := tunnel.Dial(context.Background(), "tcp", listener.Addr().String())
	fmt.Println(conn.RemoteAddr().Network(), err)
	// Output: tcp <nil>
}
