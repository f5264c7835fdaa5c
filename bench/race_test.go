package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// A race compares what work takes, however much a contestant has done, and gives one that is slow
// fewer turns.
func TestRace(t *testing.T) {
	runs := make(map[string]int)
	worker := func(name string, took time.Duration) entrant {
		return entrant{name, func(count int) (cost, error) {
			runs[name]++
			return cost{time.Duration(count) * took, 2 * time.Duration(count) * took}, nil
		}}
	}
	const repeats = 21
	lanes, err := race(rules{repeats, 64, 10 * time.Millisecond},
		[]entrant{worker("fast", time.Microsecond), worker("slow", 10*time.Millisecond)})
	must.OK(t, err)
	for name, what := range map[string]func(sample) float64{"elapsed": elapsed, "cpu": cpu} {
		if all := ratios(lanes[1], lanes[0], what); len(all) != repeats || median(all) < 9_999 || median(all) > 10_001 {
			t.Errorf("%s: ratios %v", name, all)
		}
	}
	if s := lanes[0].samples[0]; s.cpu < 1.99*s.elapsed || s.cpu > 2.01*s.elapsed {
		t.Errorf("a sample is %+v", s)
	}
	if runs["fast"] < repeats*turns || runs["slow"] > 2*repeats {
		t.Errorf("turns: %v", runs)
	}
	if count := lanes[0].count; count < 4_000 || count > 20_000 {
		t.Errorf("%d requests in a turn", count)
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
		if ok != test.ok || strings.Contains(text, "MISSED") == test.ok || !strings.Contains(text, "a thing somebody 2.00 0.001 to 300 "+test.wanted.String()) {
			t.Errorf("%v: %v, %s", test.wanted, ok, text)
		}
	}
}
