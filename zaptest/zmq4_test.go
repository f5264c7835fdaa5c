package zaptest_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/zaptest"
)

// asZmq4 is the argument that makes the test binary serve zmq4's Auth functions, as testdata/czmq.c
// and testdata/pyzmq.py serve czmq and pyzmq.
const asZmq4 = "as-zmq4"

// serveZmq4 takes requests at an endpoint and forwards them to zmq4's Auth functions.
func serveZmq4(args []string) {
	check(zmq4.AuthStart())
	if len(args) == 3 {
		setUpZmq4(args[1], args[2])
	}
	servers, handler := openZmq4(zmq4.ROUTER), openZmq4(zmq4.DEALER)
	check(servers.Bind(args[0]))
	check(handler.Connect(zaptest.Endpoint))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println("ready zmq4")
	check(zmq4.Proxy(servers, handler, nil))
}

func setUpZmq4(directory, refused string) {
	zmq4.AuthDeny("global", refused)
	passwords, err := os.ReadFile(filepath.Join(directory, "passwords"))
	check(err)
	user, password, _ := strings.Cut(strings.TrimSpace(string(passwords)), "=")
	zmq4.AuthPlainAdd("global", user, password)
	certificate, err := zmqauth.LoadCertificate(filepath.Join(directory, "clients", "ann.key"))
	check(err)
	zmq4.AuthCurveAdd("global", certificate.Public.String())
	zmq4.AuthSetMetadataHandler(func(_, _, _, _, _, _ string, _ ...string) map[string]string {
		return map[string]string{"Role": "operator"}
	})
}

func openZmq4(kind zmq4.Type) *zmq4.Socket {
	socket, err := zmq4.NewSocket(kind)
	check(err)
	check(socket.SetSndhwm(0))
	check(socket.SetRcvhwm(0))
	return socket
}
