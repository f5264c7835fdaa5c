package main

import (
	_ "embed"
	"fmt"
	"os/exec"
	"strconv"
)

//go:embed peer/czmq.c
var czmqSource string

// czmq starts czmq's zauth, which has no domains and reads its files again for every key.
func czmq(w setup) (*contestant, error) {
	program, err := w.compile("czmq", czmqSource, []string{"libczmq", "libzmq"})
	if err != nil {
		return nil, err
	}
	return start("czmq", program, w.directory)
}

//go:embed peer/pyzmq.py
var pyzmqSource string

// python is the system's Python, which uses the system's libzmq as the load generator does.
const python = "/usr/bin/python3"

// pyzmq starts pyzmq's ThreadAuthenticator.
func pyzmq(w setup) (*contestant, error) {
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
