package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

const (
	lookup        = 50 * time.Millisecond // how long a callback takes for a key
	lookupTimeout = 2 * time.Minute
	lookupRepeats = 7

	wantedLookups = 4 // time for 1,000 lookups at once, times one lookup
	wantedWait    = 1 // longest wait of a client without a lookup, times one lookup
)

// slowLookup returns a callback that accepts every key after some time.
func slowLookup(took time.Duration) zmqauth.CurveCallback {
	return func(ctx context.Context, _ string, _ zmqauth.PublicKey) (*zmqauth.Identity, error) {
		select {
		case <-time.After(took):
			return &zmqauth.Identity{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// measureLookups measures many clients at once whose keys are looked up, and meanwhile one client
// with a password in memory. pyzmq gets fewer clients, because it looks up one key after the other.
func measureLookups() ([]table, error) {
	return among(1, lookup, lookups, self("zmqauth"), pyzmq)
}

func lookups(w setup, contestants field) ([]table, error) {
	total := table{
		name:  "lookups",
		title: "Clients at once whose lookup takes 50 ms",
		ratio: "time until all are let in, times one lookup " +
			"(pyzmq looks up one key after the other: not 1,000 of them)",
	}
	wait := table{
		name:  "lookups-beside",
		title: "A client without a lookup, while clients wait for theirs",
		ratio: "its longest wait, times one lookup",
	}
	for _, clients := range []int{1, 10, 100, 1000} {
		for _, c := range contestants {
			repeats := lookupRepeats
			if c.name == "pyzmq" {
				if clients > 100 {
					continue
				}
				repeats = 3
			}
			elapsed, worst, err := c.lookUp(w, clients, repeats)
			if err != nil {
				return nil, err
			}
			wantedTotal, wantedWorst := bound{}, bound{}
			if c.name == "zmqauth" && clients == 1000 {
				wantedTotal, wantedWorst = atMost(wantedLookups), atMost(wantedWait)
			}
			of := fmt.Sprintf("%d clients", clients)
			total.add(figure{of, c.name, elapsed, wantedTotal})
			wait.add(figure{of, c.name, worst, wantedWorst})
		}
	}
	return []table{total, wait}, nil
}

// lookUp returns the time until all clients are in, and the longest wait of the client without a
// lookup. Both are multiples of the time of one lookup.
func (c *contestant) lookUp(w setup, clients, repeats int) (total, worst []float64, err error) {
	beside := w.load("PLAIN")
	for range repeats {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		result, err := c.ask(loadgen.Load{
			Mechanism: "CURVE", Domain: w.domain, Address: w.address, Credentials: [][]byte{key}, Vary: true,
			InFlight: clients, Apart: true, Requests: clients, Timeout: lookupTimeout, Beside: &beside,
		})
		if err != nil {
			return nil, nil, err
		}
		total = append(total, result.Elapsed.Seconds()/lookup.Seconds())
		worst = append(worst, result.Beside.Worst.Seconds()/lookup.Seconds())
	}
	return total, worst, nil
}
