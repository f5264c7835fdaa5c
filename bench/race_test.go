package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestRace makes sure that a race compares the costs of one unit of work, and that a slow entrant
// gets fewer turns.
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
		all := ratios(lanes[1], lanes[0], what)
		if len(all) != repeats || median(all) < 9_999 || median(all) > 10_001 {
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

// TestTable makes sure that a table has medians and spreads, and marks figures that miss their
// bound.
func TestTable(t *testing.T) {
	for _, test := range []struct {
		wanted bound
		ok     bool
	}{
		{bound{}, true},
		{atLeast(2), true},
		{atLeast(2.5), false},
		{atMost(2), true},
		{atMost(1.5), false},
	} {
		var out bytes.Buffer
		things := table{"things", "things", "times", []figure{
			{"a thing", "somebody", []float64{300, 0.001, 2}, test.wanted},
		}}
		ok := things.print(&out)
		text := strings.Join(strings.Fields(out.String()), " ")
		line := "a thing somebody 2.00 0.001 to 300 " + test.wanted.String()
		missed := strings.Contains(text, "MISSED")
		if ok != test.ok || missed == test.ok || !strings.Contains(text, line) {
			t.Errorf("%v: %v, %s", test.wanted, ok, text)
		}
	}
}
