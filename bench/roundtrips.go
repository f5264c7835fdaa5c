package main

import (
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// What is wanted of zmqauth: its share of the C loop's rate with many requests in flight, and its
// latency in times that of the C loop.
const (
	wantedShare   = 0.8
	wantedLatency = 1.3
)

// wantedTimes is how many times a peer's rate with many requests in flight.
var wantedTimes = map[string]bound{"zmq4": atLeast(4), "czmq": atLeast(3), "pyzmq": atLeast(10)}

var mechanisms = []string{"NULL", "PLAIN", "CURVE"}

const (
	keysInWorld = 1000
	manyAtOnce  = 64
)

// measureRoundTrips asks live endpoints.
func measureRoundTrips() ([]table, error) {
	return among(keysInWorld, 0, roundTrips, self("C loop"), self("zmqauth"), self("zmq4"), czmq, pyzmq)
}

// roundTrips has handlers race, the limit first and zmqauth second.
func roundTrips(w world, handlers field) ([]table, error) {
	rates := table{name: "decisions", title: "ZAP round trips over inproc, 64 in flight, 1,000 keys known", ratio: "rate, share of the C loop's"}
	times := table{name: "decisions-peers", title: "ZAP round trips over inproc, 64 in flight, 1,000 keys known", ratio: "zmqauth's rate, times that of another"}
	latencies := table{name: "latency", title: "ZAP round trips over inproc, one at a time, 1,000 keys known", ratio: "latency, times the C loop's"}
	for _, mechanism := range mechanisms {
		lanes, err := raceRoundTrips(handlers, w.load(mechanism), manyAtOnce)
		if err != nil {
			return nil, err
		}
		for _, l := range lanes[1:] {
			rates.figures = append(rates.figures, figure{mechanism, l.name, ratios(lanes[0], l, elapsed), ofZmqauth(l, atLeast(wantedShare))})
		}
		for _, l := range lanes[2:] {
			times.figures = append(times.figures, figure{mechanism, l.name, ratios(l, lanes[1], elapsed), wantedTimes[l.name]})
		}
		if lanes, err = raceRoundTrips(handlers, w.load(mechanism), 1); err != nil {
			return nil, err
		}
		for _, l := range lanes[1:] {
			latencies.figures = append(latencies.figures, figure{mechanism, l.name, ratios(l, lanes[0], elapsed), ofZmqauth(l, atMost(wantedLatency))})
		}
	}
	return []table{rates, times, latencies}, nil
}

// ofZmqauth wants nothing of the others.
func ofZmqauth(l *lane, wanted bound) bound {
	if l.name == "zmqauth" {
		return wanted
	}
	return bound{}
}

func raceRoundTrips(handlers field, load loadgen.Load, inFlight int) ([]*lane, error) {
	load.InFlight = inFlight
	return race(rules{repeats: 41, least: max(inFlight, 10), turn: 10 * time.Millisecond},
		handlers.entrants(func(c *contestant, count int) (cost, error) {
			load.Requests = count
			result, err := c.ask(load)
			return cost{elapsed: result.Elapsed}, err
		}))
}
