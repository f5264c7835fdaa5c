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
	if command := commandOf(os.Args); command != nil {
		if err := command(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestContestants makes sure that each contestant accepts the client of its setup and refuses
// others, so that all do the same work. The C loop accepts everybody.
func TestContestants(t *testing.T) {
	testpeer.NothingLeft(t)
	w := guarded(t, keysInSetup)
	clients := testzmq.NewContext(t)
	for name, start := range map[string]peer{
		"C loop":  self("C loop"),
		"zmqauth": self("zmqauth"),
		"zmq4":    self("zmq4"),
		"czmq":    czmq,
		"pyzmq":   pyzmq,
	} {
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

// TestContestantsMissing makes sure that peers that are not installed are left out, every time.
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

// TestNoHandler makes sure that without a handler libzmq accepts NULL and CURVE clients.
func TestNoHandler(t *testing.T) {
	w := guarded(t, 1)
	c := started(t, w, self("none"))
	clients := testzmq.NewContext(t)
	for _, mechanism := range []string{"NULL", "CURVE"} {
		_, err := connect(clients, c, w.client(mechanism, c), 8, 20)
		must.OK(t, err)
	}
}

// TestLookups makes sure that clients with lookups get in, and that a client without one gets in
// meanwhile.
func TestLookups(t *testing.T) {
	w := guarded(t, 1)
	w.lookup = lookup
	for name, start := range map[string]peer{"zmqauth": self("zmqauth"), "pyzmq": pyzmq} {
		total, worst, err := started(t, w, start).lookUp(w, 3, 2)
		must.OK(t, err)
		if len(total) != 2 || len(worst) != 2 || slices.Min(total) < 1 || slices.Min(worst) <= 0 {
			t.Errorf("%s: %v and %v lookups", name, total, worst)
		}
	}
}

// TestDirectory makes sure that directories have all figures, and without the peers all others.
func TestDirectory(t *testing.T) {
	for _, start := range []peer{czmq, pyzmq} {
		started(t, guarded(t, 1), start) // skips the test if the peer is missing
	}
	small, err := newDirectory(10)
	must.OK(t, err)
	large, err := newDirectory(2_000)
	must.OK(t, err)
	var d directories
	d.add(small, small)
	d.add(large, small)
	for name, test := range map[string]struct {
		table table
		want  int
	}{
		"loading":   {d.loading, 6},
		"memory":    {d.memory, 3},
		"handshake": {d.handshake, 6},
		"decision":  {d.decision, 4},
		"change":    {d.change, 2},
	} {
		if count := len(test.table.figures); count != test.want {
			t.Errorf("%s: %d figures, want %d", name, count, test.want)
		}
	}
	times := slices.Concat(
		d.loading.figures, d.handshake.figures, d.decision.figures, d.change.figures)
	for _, f := range times {
		if len(f.samples) != directoryRepeats || slices.Min(f.samples) <= 0 {
			t.Errorf("%s, %s: %v", f.of, f.who, f.samples)
		}
	}
	few, many := median(small.by["czmq"].handshake), median(large.by["czmq"].handshake)
	if many < 2*few { // czmq reads all certificates for each handshake
		t.Errorf("a handshake takes czmq %v s with 10 certificates and %v s with 2,000", few, many)
	}
	var alone directories
	for _, m := range []*directory{small, large} {
		delete(m.by, "czmq")
		delete(m.by, "pyzmq")
		alone.add(m, small)
	}
	tables := alone.tables()
	empty := slices.ContainsFunc(tables, func(t table) bool { return len(t.figures) == 0 })
	if len(tables) != 4 || empty {
		t.Errorf("without the peers: %+v", tables)
	}
}

func guarded(t *testing.T, keys int) setup {
	t.Helper()
	w, err := newSetup(keys)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, w.remove()) })
	return w
}

func started(t *testing.T, w setup, start peer) *contestant {
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
