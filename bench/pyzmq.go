package main

import (
	_ "embed"
	"fmt"
	"os/exec"
)

//go:embed peer/pyzmq.py
var pyzmqSource string

// newPyzmq is pyzmq's ThreadAuthenticator, in a Python that has the libzmq for which the load generator is built.
func newPyzmq(w world) (contestant, error) {
	const python = "/usr/bin/python3" // the system's, as is libzmq
	if err := exec.Command(python, "-c", "import zmq").Run(); err != nil {
		return nil, fmt.Errorf("pyzmq: %w: %s with zmq: %w", errMissing, python, err)
	}
	library, err := w.compile("pyzmq.so", "", []string{"libzmq"}, "-shared", "-fPIC")
	if err != nil {
		return nil, err
	}
	return startProcess("pyzmq", python, "-c", pyzmqSource, library, w.domain, w.directory)
}
