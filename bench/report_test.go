package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestReport makes sure that the report has every figure and every plot, and that the plots exist.
func TestReport(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "out")
	must.OK(t, report(directory, []table{
		{"first", "Things", "times others", []figure{
			{"large", "zmqauth", []float64{0.5, 0.25, 1}, atLeast(0.8)},
			{"large", "another", []float64{0.001, -1, 0.002}, bound{}},
			{"large", "nobody", []float64{-2, -3, 1}, bound{}},
			{"small", "zmqauth", []float64{2, 3, 4}, atLeast(0.8)},
		}},
		{"second", "Equal things", "times the same", []figure{{"one", "zmqauth", []float64{1}, bound{}}}},
	}))
	text, err := os.ReadFile(filepath.Join(directory, "results.md"))
	must.OK(t, err)
	for _, want := range []string{
		"## Things\n\nShown: times others.", "## Equal things", "libzmq 4.", "processors, go1.",
		"| large | zmqauth | 0.50 | 0.25 to 1.00 | ≥ 0.80 | MISSED |",
		"| large | another | 0.001 | -1 to 0.002 | - |  |",
		"| small | zmqauth | 3.00 | 2.00 to 4.00 | ≥ 0.80 |  |",
		"(plots/first.svg)",
		"(plots/second.svg)",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for name, wanted := range map[string][]string{
		"first":  {"Things", "zmqauth", "another", "large", "small"},
		"second": {"Equal things"},
	} {
		svg, err := os.ReadFile(filepath.Join(directory, "plots", name+".svg"))
		must.OK(t, err)
		for _, want := range append(wanted, "</svg>") {
			if !strings.Contains(string(svg), want) {
				t.Errorf("no %q in the plot %s", want, name)
			}
		}
	}
	if err := report(filepath.Join(directory, "results.md"), nil); err == nil {
		t.Error("a file in place of the directory: no error")
	}
}

// TestTicks makes sure that an axis has numbers, and only few if it is long.
func TestTicks(t *testing.T) {
	for _, test := range []struct {
		least, most float64
		ticks       int
		labels      string
	}{
		{0.3, 3, 10, "0.5 1 2"},
		{0.5, 2, 7, "0.5 1 2"},
		{0.02, 2000, 46, "0.1 1 10 100 1000"},
	} {
		var labels []string
		all := ticks(test.least, test.most)
		for _, tick := range all {
			if tick.Label != "" {
				labels = append(labels, tick.Label)
			}
		}
		if got := strings.Join(labels, " "); len(all) != test.ticks || got != test.labels {
			t.Errorf("%v to %v: %d ticks, %s", test.least, test.most, len(all), got)
		}
	}
}
