package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// asZmq4 has this program be the contestant zmq4, which may panic and has one handler for a process: bench as-zmq4 DOMAIN
// DIRECTORY.
const asZmq4 = "as-zmq4"

func newZmq4(w world) (contestant, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startProcess("zmq4", self, asZmq4, w.domain, w.directory)
}

// serveZmq4 is the process.
func serveZmq4(domain, directory string) error {
	passwords, err := os.ReadFile(filepath.Join(directory, passwordsName))
	if err != nil {
		return err
	}
	certificates, err := zmqauth.LoadCertificates(filepath.Join(directory, clientsName))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(passwords)) {
		user, password, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		zmq4.AuthPlainAdd(domain, user, password)
	}
	for key := range certificates {
		zmq4.AuthCurveAdd(domain, key.String())
	}
	if err := zmq4.AuthStart(); err != nil {
		return err
	}
	defer zmq4.AuthStop()
	ctx, err := defaultContext()
	if err != nil {
		return err
	}
	return loadgen.Serve(ctx, os.Stdin, os.Stdout)
}

// defaultContext is zmq4's own, which only its sockets tell.
func defaultContext() (*zmq4.Context, error) {
	socket, err := zmq4.NewSocket(zmq4.PAIR)
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	return socket.Context()
}
