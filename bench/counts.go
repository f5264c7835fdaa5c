package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// keysForCounts are few: the number makes no difference, and to load many takes long in valgrind.
const keysForCounts = 10

// measureCounts counts what a decision takes, whatever machine it is made on.
func measureCounts() (_ []table, err error) {
	w, err := newSetup(keysForCounts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	var all []table
	for _, kind := range []struct {
		table
		counters         []counter
		requests, repeat int
	}{
		{table{
			name:  "counts-instructions",
			title: "Instructions for each decision, by libzmq and by the client too",
			ratio: "instructions, and zmqauth's times the C loop's",
		}, instructionCounters, 1_000, 1},
		{table{
			name:  "counts-calls",
			title: "System calls for each decision, by libzmq and by the client too",
			ratio: "system calls, and zmqauth's times the C loop's",
		}, callCounters, 20_000, 5},
	} {
		counter, err := findCounter(kind.counters)
		if errors.Is(err, errMissing) {
			fmt.Fprintln(os.Stderr, "bench: left out:", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := countDecisions(w, &kind.table, counter, kind.requests, kind.repeat); err != nil {
			return nil, err
		}
		all = append(all, kind.table)
	}
	crossings, err := countCrossings(w, 20_000)
	return append(all, crossings), err
}

// countDecisions adds the figures of both handlers to a table.
func countDecisions(w setup, t *table, c counter, requests, repeats int) error {
	for _, inFlight := range []int{manyAtOnce, 1} {
		for _, mechanism := range mechanisms {
			load := w.load(mechanism)
			load.InFlight = inFlight
			of := fmt.Sprintf("%s, %d in flight", mechanism, inFlight)
			by := make(map[string][]float64)
			for range repeats {
				for _, name := range []string{"C loop", "zmqauth"} {
					count, err := c.decisions(w, name, load, requests)
					if err != nil {
						return fmt.Errorf("%s, %s: %w", of, name, err)
					}
					by[name] = append(by[name], count)
				}
			}
			t.add(figure{of, "C loop", by["C loop"], bound{}})
			t.add(figure{of, "zmqauth", by["zmqauth"], bound{}})
			t.add(figure{of, "ratio", divide(by["zmqauth"], by["C loop"]), bound{}})
		}
	}
	return nil
}

// decisions returns the count for each decision of a handler: that of a process that makes many,
// less that of one that makes few.
func (c counter) decisions(w setup, name string, load loadgen.Load, requests int) (float64, error) {
	var counts []float64
	for _, load.Requests = range []int{requests / 4, requests/4 + requests} {
		command, err := selfCommand(w, name, noFastcurve)
		if err != nil {
			return 0, err
		}
		count, err := c.run(command, func(command *exec.Cmd) error {
			counted, err := startCommand(name, command)
			if err != nil {
				return err
			}
			_, err = counted.ask(load)
			return errors.Join(err, counted.close())
		})
		if err != nil {
			return 0, err
		}
		counts = append(counts, count)
	}
	return (counts[1] - counts[0]) / float64(requests), nil
}

// countCrossings counts calls from Go into C. The client is one of them, for all requests.
func countCrossings(w setup, requests int) (t table, err error) {
	t = table{
		name:  "counts-crossings",
		title: "Crossings from Go into C for each decision",
		ratio: "calls (the C loop has none)",
	}
	ctx, stop, err := startZmqauth(w)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, inFlight := range []int{manyAtOnce, 1} {
		for _, mechanism := range mechanisms {
			load := w.load(mechanism)
			load.InFlight, load.Requests = inFlight, requests
			before := runtime.NumCgoCall()
			if _, err := loadgen.Run(ctx, load); err != nil {
				return t, err
			}
			calls := float64(runtime.NumCgoCall()-before) / float64(requests)
			of := fmt.Sprintf("%s, %d in flight", mechanism, inFlight)
			t.add(figure{of, "zmqauth", []float64{calls}, bound{}})
		}
	}
	return t, nil
}
