package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/zmqauth/zmqauth/bench/loadgen"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == serveCommand {
		if err := serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestContestants: each lets its world in and nobody else, so that what is compared is the same
// work. The limit lets everybody in.
func TestContestants(t *testing.T) {
	testpeer.NothingLeft(t)
	w := guarded(t, keysInWorld)
	clients := testzmq.NewContext(t)
	for name, start := range map[string]peer{"C loop": self("C loop"), "zmqauth": self("zmqauth"), "zmq4": self("zmq4"), "czmq": czmq, "pyzmq": pyzmq} {
		t.Run(name, func(t *testing.T) {
			c := started(t, w, start)
			if c.name != name {
				t.Errorf("it is %q", c.name)
			}
			refused := 400
			if name == "C loop" {
				refused = 200
			}
			for _, mechanism := range mechanisms {
				load := w.load(mechanism)
				wantStatus(t, c, load, 200)
				spent, err := connect(clients, c, w.client(mechanism, c), 8, 20)
				if err != nil || spent.elapsed <= 0 || spent.cpu <= 0 {
					t.Errorf("%s: handshakes: %v, %v", mechanism, spent, err)
				}
				if len(load.Credentials) > 0 {
					last := &load.Credentials[len(load.Credentials)-1]
					*last = append([]byte{(*last)[0] ^ 1}, (*last)[1:]...)
					wantStatus(t, c, load, refused)
				}
			}
		})
	}
}

// TestContestantsMissing: a peer that is not installed is left out, as often as it is started.
func TestContestantsMissing(t *testing.T) {
	w := guarded(t, 1)
	t.Setenv("PATH", t.TempDir())
	for range 2 {
		f, err := newField(w, czmq, pyzmq, self("none"))
		if err != nil || len(f) != 1 || f[0].name != "none" {
			t.Errorf("%d contestants, %v", len(f), err)
		}
		must.OK(t, f.close())
	}
}

// Without a handler libzmq lets the two in that need none.
func TestNoHandler(t *testing.T) {
	w := guarded(t, 1)
	c := started(t, w, self("none"))
	clients := testzmq.NewContext(t)
	for _, mechanism := range []string{"NULL", "CURVE"} {
		_, err := connect(clients, c, w.client(mechanism, c), 8, 20)
		must.OK(t, err)
	}
}

// TestLookups: clients with lookups get in, and so do those without one meanwhile.
func TestLookups(t *testing.T) {
	w := guarded(t, 1)
	w.lookup = lookup
	for name, start := range map[string]peer{"zmqauth": self("zmqauth"), "pyzmq": pyzmq} {
		total, worst, err := started(t, w, start).lookUp(w, 3, 2)
		must.OK(t, err)
		if len(total) != 2 || len(worst) != 2 || min(total[0], total[1]) < 1 || min(worst[0], worst[1]) <= 0 {
			t.Errorf("%s: %v and %v lookups", name, total, worst)
		}
	}
}

// TestDirectory: all that is measured with a directory is there, for whoever is installed.
func TestDirectory(t *testing.T) {
	for _, start := range []peer{czmq, pyzmq} {
		started(t, guarded(t, 1), start) // or skipped
	}
	small, err := newDirectory(10)
	must.OK(t, err)
	large, err := newDirectory(2_000)
	must.OK(t, err)
	var d directories
	d.add(small, small)
	d.add(large, small)
	for i, count := range []int{len(d.loading.figures), len(d.memory.figures), len(d.handshake.figures), len(d.decision.figures), len(d.change.figures)} {
		if want := []int{6, 3, 6, 4, 2}[i]; count != want {
			t.Errorf("%d: %d figures, want %d", i, count, want)
		}
	}
	for _, f := range slices.Concat(d.loading.figures, d.handshake.figures, d.decision.figures, d.change.figures) {
		if len(f.samples) != directoryRepeats || slices.Min(f.samples) <= 0 {
			t.Errorf("%s, %s: %v", f.of, f.who, f.samples)
		}
	}
	if few, many := median(small.by["czmq"].handshake), median(large.by["czmq"].handshake); many < 2*few {
		t.Errorf("a handshake takes czmq %v s with 10 certificates and %v s with 2,000: it reads them each time", few, many)
	}
	var alone directories
	for _, m := range []*directory{small, large} {
		delete(m.by, "czmq")
		delete(m.by, "pyzmq")
		alone.add(m, small)
	}
	if tables := alone.tables(); len(tables) != 4 || slices.ContainsFunc(tables, func(t table) bool { return len(t.figures) == 0 }) {
		t.Errorf("without the peers: %+v", tables)
	}
}

func guarded(t *testing.T, keys int) world {
	t.Helper()
	w, err := newWorld(keys)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, w.remove()) })
	return w
}

func started(t *testing.T, w world, start peer) *contestant {
	t.Helper()
	c, err := start(w)
	if errors.Is(err, errMissing) {
		testpeer.Missing(t, err.Error(), "gcc pkg-config libczmq-dev python3-zmq")
	}
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, c.close()) })
	return c
}

func wantStatus(t *testing.T, c *contestant, load loadgen.Load, status int) {
	t.Helper()
	load.InFlight, load.Requests = 8, 20
	result, err := c.Run(load)
	must.OK(t, err)
	if want := map[int]int{status: load.Requests}; !maps.Equal(result.ByStatus, want) {
		t.Errorf("%s: %v, should be %v", load.Mechanism, result.ByStatus, want)
	}
	if _, err := c.ask(load); (err == nil) != (status == 200) {
		t.Errorf("%s: measured with status %d: %v", load.Mechanism, status, err)
	}
}
