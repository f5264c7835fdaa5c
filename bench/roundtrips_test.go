package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// clockwork is a contestant that takes as long as it says for a request.
type clockwork struct {
	perRequest time.Duration
	runs       int
}

func (*clockwork) name() string { return "clockwork" }
func (*clockwork) close() error { return nil }

func (c *clockwork) run(load loadgen.Load) (loadgen.Result, error) {
	c.runs++
	return loadgen.Result{Elapsed: time.Duration(load.Requests) * c.perRequest, ByStatus: map[int]int{200: load.Requests}}, nil
}

// A race compares what a request takes, however many a contestant has made, and gives one that is slow fewer turns.
func TestRace(t *testing.T) {
	fast, slow := &clockwork{perRequest: time.Microsecond}, &clockwork{perRequest: 10 * time.Millisecond}
	lanes, err := race(field{fast, slow}, loadgen.Load{Mechanism: "NULL", InFlight: 64})
	must(t, err)
	if all := ratios(lanes[1], lanes[0]); len(all) != repeats || median(all) < 9_999 || median(all) > 10_001 {
		t.Errorf("ratios %v", all)
	}
	if fast.runs < repeats*turns || slow.runs > 2*repeats {
		t.Errorf("%d turns of the fast one, %d of the slow one", fast.runs, slow.runs)
	}
	if requests := lanes[0].load.Requests; requests < 4_000 || requests > 20_000 {
		t.Errorf("%d requests in a turn", requests)
	}
}

// A table shows medians and spreads, and marks what is not as wanted.
func TestTable(t *testing.T) {
	for _, test := range []struct {
		wanted bound
		ok     bool
	}{{bound{}, true}, {atLeast(2), true}, {atLeast(2.5), false}, {atMost(2), true}, {atMost(1.5), false}} {
		var out bytes.Buffer
		ok := table{"things", "things", "times", []figure{{"a thing", "somebody", []float64{300, 0.001, 2}, test.wanted}}}.print(&out)
		text := strings.Join(strings.Fields(out.String()), " ")
		if ok != test.ok || strings.Contains(text, "MISSED") == test.ok || !strings.Contains(text, "a thing somebody 2.00 0.001..300 "+test.wanted.String()) {
			t.Errorf("%v: %v, %s", test.wanted, ok, text)
		}
	}
}
