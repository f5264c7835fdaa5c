// Command program is built by a test in several ways. It makes a CURVE handshake with itself. It
// prints whether fastcurve is active, before and after that, and whether locked memory is left,
// which libsodium's own does not leave. As a library it does that when Run is called.
package main

import "C"

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/fastcurve"
)

//export Run
func Run() {
	before := fastcurve.Active()
	if err := handshake(); err != nil {
		fmt.Println("handshake:", err)
		os.Exit(1)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	locked := !strings.Contains(string(status), "VmLck:\t       0 kB")
	fmt.Println(before, fastcurve.Active(), locked)
}

func main() { Run() }

func handshake() error {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	server, err := ctx.NewSocket(zmq4.PULL)
	if err != nil {
		return err
	}
	client, err := ctx.NewSocket(zmq4.PUSH)
	if err != nil {
		return err
	}
	public, secret, err := zmq4.NewCurveKeypair()
	if err != nil {
		return err
	}
	for _, do := range []func() error{
		func() error { return server.SetCurveServer(1) },
		func() error { return server.SetCurveSecretkey(secret) },
		func() error { return server.SetRcvtimeo(30 * time.Second) },
		func() error { return server.Bind("tcp://127.0.0.1:*") },
		func() error { return client.SetCurveServerkey(public) },
		func() error { return client.SetCurvePublickey(public) },
		func() error { return client.SetCurveSecretkey(secret) },
		func() error {
			endpoint, err := server.GetLastEndpoint()
			if err != nil {
				return err
			}
			return client.Connect(endpoint)
		},
		func() error { _, err := client.Send("hello", 0); return err },
		func() error { _, err := server.Recv(0); return err },
		client.Close, server.Close, ctx.Term,
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}
