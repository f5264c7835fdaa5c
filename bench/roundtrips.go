package main

import (
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// The bounds for zmqauth: its rate with many requests in flight as a share of the C loop's, and its
// latency, times that of the C loop.
const (
	wantedShare   = 0.8
	wantedLatency = 1.3
)

// wantedTimes has the bounds for zmqauth's rate with many requests in flight, times that of a peer.
var wantedTimes = map[string]bound{"zmq4": atLeast(4), "czmq": atLeast(3), "pyzmq": atLeast(10)}

var mechanisms = []string{"NULL", "PLAIN", "CURVE"}

const (
	keysInSetup = 1000
	manyAtOnce  = 64
)

// measureRoundTrips measures ZAP requests to handlers.
func measureRoundTrips() ([]table, error) {
	return among(keysInSetup, 0, roundTrips,
		self("C loop"), self("zmqauth"), self("zmq4"), czmq, pyzmq)
}

// roundTrips compares handlers. The first is the C loop, the second zmqauth.
func roundTrips(w setup, handlers field) ([]table, error) {
	const many = "ZAP round trips over inproc, 64 in flight, 1,000 keys known"
	const single = "ZAP round trips over inproc, one at a time, 1,000 keys known"
	rates := table{name: "decisions", title: many, ratio: "rate, share of the C loop's"}
	times := table{
		name:  "decisions-peers",
		title: many,
		ratio: "zmqauth's rate, times that of another",
	}
	latencies := table{name: "latency", title: single, ratio: "latency, times the C loop's"}
	for _, mechanism := range mechanisms {
		lanes, err := raceRoundTrips(handlers, w.load(mechanism), manyAtOnce)
		if err != nil {
			return nil, err
		}
		for _, l := range lanes[1:] {
			wanted := ofZmqauth(l, atLeast(wantedShare))
			rates.add(figure{mechanism, l.name, ratios(lanes[0], l, elapsed), wanted})
		}
		for _, l := range lanes[2:] {
			wanted := wantedTimes[l.name]
			times.add(figure{mechanism, l.name, ratios(l, lanes[1], elapsed), wanted})
		}
		if lanes, err = raceRoundTrips(handlers, w.load(mechanism), 1); err != nil {
			return nil, err
		}
		for _, l := range lanes[1:] {
			wanted := ofZmqauth(l, atMost(wantedLatency))
			latencies.add(figure{mechanism, l.name, ratios(l, lanes[0], elapsed), wanted})
		}
	}
	return []table{rates, times, latencies}, nil
}

// ofZmqauth returns the bound for zmqauth and no bound for others.
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
