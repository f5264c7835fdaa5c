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
