package main

import (
	"errors"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestProxy makes sure that all patterns get through both proxies, and that each figure is there.
func TestProxy(t *testing.T) {
	testpeer.NothingLeft(t)
	messages := []traffic{
		{of: "NULL", clients: 3, size: smallMessage},
		{of: "CURVE", curve: true, clients: 3, size: 1_000_000},
		{of: "two at once", clients: 1, size: smallMessage, at: 2},
		{of: "subscribers", pattern: loadgen.Subscribe, clients: 100, size: smallMessage},
	}
	requests := []traffic{
		{of: "requests", pattern: loadgen.Request, clients: 8, size: smallMessage}}
	tables, err := measureRelays(proxies, []proxyTable{
		{table{name: "rates"}, messages}, {table{name: "latencies"}, requests},
	}, rules{repeats: 1, turn: time.Microsecond})
	must.OK(t, err)
	// Each but the last table has two figures for each traffic, and the last has one.
	for i, want := range []int{2 * len(messages), 2 * len(requests), len(messages) + len(requests)} {
		if got := len(tables[i].figures); got != want {
			t.Errorf("%s: %d figures, want %d", tables[i].name, got, want)
		}
		for _, f := range tables[i].figures {
			if len(f.samples) != 1 || f.samples[0] <= 0 {
				t.Errorf("%s, %s: %v", f.of, f.who, f.samples)
			}
			if bounded := i < 2 && f.who == "zmq_proxy"; bounded != (f.wanted != bound{}) {
				t.Errorf("%s, %s: wanted %v", f.of, f.who, f.wanted)
			}
		}
	}
}

// TestObserved makes sure that a proxy that is looked at carries as much, and is looked at.
func TestObserved(t *testing.T) {
	testpeer.NothingLeft(t)
	tables, err := measureRelays(observed, []proxyTable{{table{name: "rates"},
		sizesThroughProxy[:1]}}, rules{repeats: 1, turn: time.Microsecond})
	must.OK(t, err) // an error of who looks would be here
	if len(tables) != 2 || len(tables[0].figures) != 1 || tables[0].figures[0].samples[0] <= 0 {
		t.Errorf("%+v", tables)
	}
}

// TestDescriptors makes sure that too many clients are left out before they come.
func TestDescriptors(t *testing.T) {
	must.OK(t, needDescriptors(1))
	if err := needDescriptors(1 << 40); err == nil {
		t.Error("more connections than any limit: no error")
	}
	tables, err := measureIdle(1<<40, 1, 0)
	if err != nil || len(tables) > 0 {
		t.Errorf("%v, %v", tables, err)
	}
}

// TestIdle makes sure that idle clients are let in by both proxies, and count.
func TestIdle(t *testing.T) {
	testpeer.NothingLeft(t)
	tables, err := measureIdle(500, 1, 20*time.Millisecond)
	must.OK(t, err)
	for _, f := range tables[0].figures {
		if f.samples[0] <= 0 {
			t.Errorf("%s, %s: %v", f.of, f.who, f.samples)
		}
	}
	if len(tables) != 2 || len(tables[0].figures) != 3 || len(tables[1].figures) != 2 {
		t.Errorf("%+v", tables)
	}
}

// TestCounters makes sure that the counters that are here count what a decision takes.
func TestCounters(t *testing.T) {
	testpeer.NothingLeft(t)
	w := guarded(t, 1)
	load := w.load("CURVE")
	load.InFlight = 1
	for _, counters := range [][]counter{instructionCounters, callCounters} {
		for _, c := range counters {
			if _, err := findCounter([]counter{c}); errors.Is(err, errMissing) {
				t.Logf("%v", err)
				continue
			}
			for _, name := range []string{"C loop", "zmqauth"} {
				count, err := c.decisions(w, name, load, 200)
				if err != nil || count < 2 {
					t.Errorf("%s, %s: %v, %v", c.command[0], name, count, err)
				}
			}
		}
	}
	crossings, err := countCrossings(w, 2000)
	must.OK(t, err)
	for _, f := range crossings.figures {
		if f.samples[0] <= 0 || f.samples[0] > 3 { // one to receive, and one to send
			t.Errorf("%s: %v crossings", f.of, f.samples)
		}
	}
}

// TestCountersMissing makes sure that a counter is left out that is not there or finds nothing.
func TestCountersMissing(t *testing.T) {
	c := callCounters[0]
	c.command = slices.Concat([]string{"no-such-program"}, c.command[1:])
	silent := c
	silent.command = []string{"tee", ""}
	if _, err := findCounter([]counter{c, silent}); !errors.Is(err, errMissing) {
		t.Error(err)
	}
	if _, err := c.run(exec.Command("true"), (*exec.Cmd).Run); err == nil {
		t.Error("a counter that is missing: no error")
	}
}

// TestLeastPrograms makes sure that the programs whose sizes are measured compile.
func TestLeastPrograms(t *testing.T) {
	sizes, err := buildPrograms(t.TempDir(), nil)
	must.OK(t, err)
	zmq4, root := sizes[0], sizes[1]
	if zmq4.size < 1<<20 || root.size <= zmq4.size {
		t.Errorf("%v bytes with zmq4, %v with zmqauth", zmq4.size, root.size)
	}
}
