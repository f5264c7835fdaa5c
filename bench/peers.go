package main

import (
	_ "embed"
	"fmt"
	"os/exec"
	"strconv"
)

//go:embed peer/czmq.c
var czmqSource string

// czmq is its zauth. It knows no domains, and looks for every key in its files.
func czmq(w world) (*contestant, error) {
	program, err := w.compile("czmq", czmqSource, []string{"libczmq", "libzmq"})
	if err != nil {
		return nil, err
	}
	return start("czmq", program, w.directory)
}

//go:embed peer/pyzmq.py
var pyzmqSource string

const python = "/usr/bin/python3" // the system's, as is libzmq

// pyzmq is its ThreadAuthenticator, in a Python that has the libzmq for which the load generator is
// built.
func pyzmq(w world) (*contestant, error) {
	if err := exec.Command(python, "-c", "import zmq").Run(); err != nil {
		return nil, fmt.Errorf("pyzmq: %w: %s with zmq: %w", errMissing, python, err)
	}
	library, err := w.compile("pyzmq.so", "", []string{"libzmq"}, "-shared", "-fPIC")
	if err != nil {
		return nil, err
	}
	seconds := strconv.FormatFloat(w.lookup.Seconds(), 'f', -1, 64)
	return start("pyzmq", python, "-c", pyzmqSource, library, w.domain, w.directory, seconds)
}
