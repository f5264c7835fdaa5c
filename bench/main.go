// Command bench compares zmqauth and other ZAP handlers with the fastest possible handler, a loop
// in C that accepts everybody. It also compares streams and tunnels with stunnel and ssh -L, and
// the proxy of the tool with zmq_proxy. Times are ratios, because they depend on the machine and
// its load; results.md explains which. A run takes some minutes. Peers that are not installed are
// left out. The exit status is 1 if a figure misses its bound.
//
//	go run ./bench                     # all tables
//	go run ./bench -only keys,lookups  # some
//	go run ./bench -out bench          # results.md and its plots too
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// measures are the names that -only takes.
var measures = []measure{
	{"decisions", measureRoundTrips},
	{"handshakes", measureHandshakes},
	{"fastcurve", measureFastcurve},
	{"lookups", measureLookups},
	{"keys", measureKeys},
	{"memory", measureMemory},
	{"directories", measureDirectories},
	{"streams", measureStreams},
	{"proxy", measureProxy},
	{"observed", measureObserved},
	{"counts", measureCounts},
	{"sizes", measureSizes},
}

type measure struct {
	name string
	run  func() ([]table, error)
}

func main() {
	ok, err := true, error(nil)
	if command := commandOf(os.Args); command != nil {
		err = command(os.Args[2:])
	} else {
		ok, err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// commandOf returns what this program does as a process under measurement, or nil.
func commandOf(args []string) func(args []string) error {
	if len(args) < 2 {
		return nil
	}
	return map[string]func([]string) error{serveCommand: serve, relayCommand: serveRelay}[args[1]]
}

// run prints the tables. It is ok if all figures are within their bounds.
func run() (ok bool, err error) {
	only := flag.String("only", "", "names of measures, separated by commas; all of them otherwise")
	out := flag.String("out", "", "a directory for results.md and its plots")
	flag.Parse()
	wanted, err := chosen(*only)
	if err != nil {
		return false, err
	}
	warnOfTracking()
	var all []table
	var errs []error // what fails takes nothing else with it
	ok = true
	for _, m := range wanted {
		tables, err := m.run()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
		for _, t := range tables {
			if !t.print(os.Stdout) {
				ok = false
			}
		}
		all = append(all, tables...)
	}
	if *out != "" {
		errs = append(errs, report(*out, all))
	}
	return ok, errors.Join(errs...)
}

// chosen returns the measures with these names, separated by commas, or all if there are none.
func chosen(names string) ([]measure, error) {
	if names == "" {
		return measures, nil
	}
	var all []measure
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(measures, func(m measure) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("nothing is called %q", name)
		}
		all = append(all, measures[i])
	}
	return all, nil
}
