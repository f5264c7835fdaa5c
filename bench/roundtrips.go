package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// repeats is how many pairs are measured. Each is made of turns of some milliseconds, so that both sides
// meet the same machine: two threads that hand each other the work are several times faster while the system runs them
// on one processor than while it runs them on two, and it changes its mind.
const (
	repeats = 21
	turns   = 10
)

const (
	requestsManyInFlight = 2_000 // in one turn
	requestsOneInFlight  = 500
)

// wantedRate is the share of the C loop's rate with many requests in flight.
const wantedRate = 0.7

// measureRoundTrips asks live endpoints.
func measureRoundTrips() (figures []figure, err error) {
	w := newWorld()
	reference, err := newLimit()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reference.close()) }()
	for _, open := range contestants {
		c, err := open(w)
		if err != nil {
			return nil, err
		}
		added, err := race(c, reference, w)
		if err := errors.Join(err, c.close()); err != nil {
			return nil, err
		}
		figures = append(figures, added...)
	}
	return figures, nil
}

// race measures a contestant beside the reference.
func race(c, reference contestant, w world) ([]figure, error) {
	var figures []figure
	for _, mechanism := range []string{"NULL", "PLAIN", "CURVE"} {
		load := w.load(mechanism)
		load.InFlight, load.Requests = 64, requestsManyInFlight
		slowdowns, err := compare(c, reference, load)
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{
			fmt.Sprintf("%s, %s, 64 in flight: rate, share of the C loop's", c.name(), mechanism), inverses(slowdowns), atLeast(wantedRate),
		})
	}
	for _, mechanism := range []string{"NULL", "PLAIN", "CURVE"} {
		load := w.load(mechanism)
		load.InFlight, load.Requests = 1, requestsOneInFlight
		slowdowns, err := compare(c, reference, load)
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{
			fmt.Sprintf("%s, %s, 1 in flight: latency, times the C loop's", c.name(), mechanism), slowdowns, bound{},
		})
	}
	return figures, nil
}

// compare returns how many times the reference's time a contestant takes, for each repeat.
func compare(c, reference contestant, load loadgen.Load) ([]float64, error) {
	var ratios []float64
	for range repeats {
		var own, limit time.Duration
		for range turns {
			elapsed, err := measure(c, load)
			if err != nil {
				return nil, err
			}
			own += elapsed
			if elapsed, err = measure(reference, load); err != nil {
				return nil, err
			}
			limit += elapsed
		}
		ratios = append(ratios, own.Seconds()/limit.Seconds())
	}
	return ratios, nil
}

func inverses(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, value := range values {
		out[i] = 1 / value
	}
	return out
}
