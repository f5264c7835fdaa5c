package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/zmqauth/zmqauth/bench/loadgen"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == asZmq4 {
		if err := serveZmq4(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestContestants: each lets its world in and nobody else, so that what is compared is the same work. The limit lets
// everybody in.
func TestContestants(t *testing.T) {
	testpeer.NothingLeft(t)
	w, err := newWorld()
	must(t, err)
	t.Cleanup(func() { must(t, w.remove()) })
	for _, open := range append([]func(world) (contestant, error){newLimit, newZmqauth}, peers...) {
		c, err := open(w)
		if errors.Is(err, errMissing) {
			testpeer.Missing(t, err.Error(), "gcc pkg-config libczmq-dev python3-zmq")
		}
		must(t, err)
		t.Run(c.name(), func(t *testing.T) {
			defer func() { must(t, c.close()) }()
			refused := 400
			if c.name() == "C loop" {
				refused = 200
			}
			for _, mechanism := range []string{"NULL", "PLAIN", "CURVE"} {
				load := w.load(mechanism)
				wantStatus(t, c, load, 200)
				if len(load.Credentials) > 0 {
					last := &load.Credentials[len(load.Credentials)-1]
					*last = append([]byte{(*last)[0] ^ 1}, (*last)[1:]...)
					wantStatus(t, c, load, refused)
				}
			}
		})
	}
}

func wantStatus(t *testing.T, c contestant, load loadgen.Load, status int) {
	t.Helper()
	load.InFlight, load.Requests = 8, 20
	result, err := c.run(load)
	must(t, err)
	if want := map[int]int{status: load.Requests}; !maps.Equal(result.ByStatus, want) {
		t.Errorf("%s: %v, should be %v", load.Mechanism, result.ByStatus, want)
	}
	if _, err := measure(c, load); (err == nil) != (status == 200) {
		t.Errorf("%s: measured with status %d: %v", load.Mechanism, status, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
