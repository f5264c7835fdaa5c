package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure is one line of a table: a ratio that was measured several times, and its bound.
type figure struct {
	of      string // what was measured, such as a mechanism or a number of keys
	who     string // the contestant
	samples []float64
	wanted  bound
}

// bound is the least or the greatest value that a figure may have. The zero value allows all.
type bound struct {
	sign  string // "≥", "≤" or ""
	value float64
}

func atLeast(value float64) bound { return bound{"≥", value} }
func atMost(value float64) bound  { return bound{"≤", value} }

func (b bound) String() string {
	if b.sign == "" {
		return "-"
	}
	return b.sign + " " + number(b.value)
}

func (b bound) holds(value float64) bool {
	switch b.sign {
	case "≥":
		return value >= b.value
	case "≤":
		return value <= b.value
	default:
		return true
	}
}

// number formats a value with at least two digits.
func number(value float64) string {
	switch {
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 0.1:
		return fmt.Sprintf("%.2f", value)
	default:
		return fmt.Sprintf("%.2g", value)
	}
}

func median(samples []float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// table has figures of one kind.
type table struct {
	name    string // of its plot: letters and hyphens
	title   string
	ratio   string // what the figures are: "share of the C loop's rate"
	figures []figure
}

// cells returns the cells of a figure in a table. The last is empty if the figure is within its
// bound.
func (f figure) cells() []string {
	mark := ""
	if !f.ok() {
		mark = "MISSED"
	}
	least, most := slices.Min(f.samples), slices.Max(f.samples)
	return []string{
		f.of,
		f.who,
		number(median(f.samples)),
		number(least) + " to " + number(most),
		f.wanted.String(),
		mark,
	}
}

func (f figure) ok() bool { return f.wanted.holds(median(f.samples)) }

// print prints the figures with their medians and spreads. It is ok if all are within their bounds.
func (t table) print(to io.Writer) (ok bool) {
	ok = true
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s: %s\n\t\tmedian\tspread\twanted\t\n", t.title, t.ratio)
	for _, f := range t.figures {
		fmt.Fprintln(w, strings.Join(f.cells(), "\t"))
		ok = ok && f.ok()
	}
	fmt.Fprintln(w)
	_ = w.Flush()
	return ok
}
