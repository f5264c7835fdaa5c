//go:build unix

package sshtunnel_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/zmqauth/zmqauth/sshtunnel"
)

// A forward for another program, or for a socket that will be disconnected later.
func ExampleTunnel_Forward() {
	gateway := startGateway()
	defer gateway.stop()
	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{
		Host: "gateway", ConfigFile: gateway.sshConfig,
	})
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

// A forward at a port that another program knows.
func ExampleTunnel_ForwardTo() {
	gateway := startGateway()
	defer gateway.stop()
	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{
		Host: "gateway", ConfigFile: gateway.sshConfig,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	endpoint, err := tunnel.ForwardTo("tcp://10.1.2.3:5555", "tcp://127.0.0.1:0") // or a fixed port
	fmt.Println(strings.HasPrefix(endpoint, "tcp://127.0.0.1:"), err)
	_, err = tunnel.ForwardTo("tcp://10.1.2.3:5555", "tcp://0.0.0.0:1")
	fmt.Println(strings.Contains(err.Error(), "only a loopback address"))
	// Output:
	// true <nil>
	// true
}

// A proxy for clients that speak SOCKS5: libzmq with ZMQ_SOCKS_PROXY, curl, browsers.
func ExampleTunnel_SOCKS() {
	gateway := startGateway()
	defer gateway.stop()
	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{
		Host: "gateway", ConfigFile: gateway.sshConfig,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	proxy, err := tunnel.SOCKS("tcp://127.0.0.1:0")
	address, ok := strings.CutPrefix(proxy, "tcp://")
	fmt.Println(ok, err)
	_ = address // socket.SetSocksProxy(address), or curl --socks5-hostname
	// Output:
	// true <nil>
}
