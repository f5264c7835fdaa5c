// Command bench measures zmqauth against the limit of what a ZAP handler can reach: a loop in C that accepts everybody.
// Every figure is a ratio of two measurements that alternate in one run, since times depend on the machine and on what
// else it does. It takes under a minute and exits with status 1 where a figure misses what is wanted.
package main

import (
	"fmt"
	"os"
)

func main() {
	ok, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// run prints the tables; ok tells whether all figures are as wanted.
func run() (ok bool, err error) {
	ok = true
	for _, section := range []struct {
		title   string
		measure func() ([]figure, error)
	}{
		{"ZAP round trips over inproc, beside the loop in C", measureRoundTrips},
		{"HandleZAPMessage with many keys in a set, beside one key", measureKeys},
		{"Memory", measureMemory},
	} {
		figures, err := section.measure()
		if err != nil {
			return false, fmt.Errorf("%s: %w", section.title, err)
		}
		if !printTable(os.Stdout, section.title, figures) {
			ok = false
		}
	}
	return ok, nil
}
