package main

import _ "embed"

//go:embed peer/czmq.c
var czmqSource string

// newCzmq is czmq's zauth. It knows no domains, and looks for every key in its files.
func newCzmq(w world) (contestant, error) {
	program, err := w.compile("czmq", czmqSource, []string{"libczmq", "libzmq"})
	if err != nil {
		return nil, err
	}
	return startProcess("czmq", program, w.directory)
}
