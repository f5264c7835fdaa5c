package main

import (
	"errors"
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// repeats is how many times each figure is measured. A repeat is made of turns of some milliseconds, in which one
// contestant follows the other, so that all meet the same machine: two threads that hand each other the work are several
// times faster while the system runs them on one processor than while it runs them on two, and it changes its mind.
const (
	repeats = 21
	turns   = 10

	turnTime   = 10 * time.Millisecond  // of a contestant, about
	repeatTime = 100 * time.Millisecond // of one whose turns last longer because its requests do: it gets fewer
)

// What is wanted of zmqauth.
const wantedShare = 0.7 // of the C loop's rate with many requests in flight

// wantedTimes is how many times a peer's rate with many requests in flight.
var wantedTimes = map[string]bound{"zmq4": atLeast(4), "czmq": atLeast(3), "pyzmq": atLeast(10)}

// measureRoundTrips asks live endpoints.
func measureRoundTrips() (tables []table, err error) {
	w, err := newWorld()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	contestants, err := newField(w)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, contestants.close()) }()

	rates := table{name: "decisions", title: "ZAP round trips over inproc, 64 in flight", ratio: "rate, share of the C loop's"}
	times := table{name: "decisions-peers", title: "ZAP round trips over inproc, 64 in flight", ratio: "zmqauth's rate, times that of another"}
	latencies := table{name: "latency", title: "ZAP round trips over inproc, one at a time", ratio: "latency, times the C loop's"}
	for _, mechanism := range []string{"NULL", "PLAIN", "CURVE"} {
		load := w.load(mechanism)
		load.InFlight = 64
		lanes, err := race(contestants, load)
		if err != nil {
			return nil, err
		}
		for _, l := range lanes[1:] {
			rates.figures = append(rates.figures, figure{mechanism, l.name(), ratios(lanes[0], l), wantedRate(l)})
		}
		for _, l := range lanes[2:] {
			times.figures = append(times.figures, figure{mechanism, l.name(), ratios(l, lanes[1]), wantedTimes[l.name()]})
		}
		load.InFlight = 1
		if lanes, err = race(contestants, load); err != nil {
			return nil, err
		}
		for _, l := range lanes[1:] {
			latencies.figures = append(latencies.figures, figure{mechanism, l.name(), ratios(l, lanes[0]), bound{}})
		}
	}
	return []table{rates, times, latencies}, nil
}

func wantedRate(l *lane) bound {
	if l.name() == "zmqauth" {
		return atLeast(wantedShare)
	}
	return bound{}
}

// lane is a contestant in a race.
type lane struct {
	contestant
	load     loadgen.Load
	requests int           // of this repeat
	elapsed  time.Duration // in this repeat
	samples  []float64     // seconds for a request, for each repeat
}

// race has all contestants take turns.
func race(contestants field, load loadgen.Load) ([]*lane, error) {
	var lanes []*lane
	for _, c := range contestants {
		l, err := newLane(c, load)
		if err != nil {
			return nil, err
		}
		lanes = append(lanes, l)
	}
	for range repeats {
		for range turns {
			for _, l := range lanes {
				if err := l.turn(); err != nil {
					return nil, err
				}
			}
		}
		for _, l := range lanes {
			l.finishRepeat()
		}
	}
	return lanes, nil
}

// newLane finds out how many requests make a turn.
func newLane(c contestant, load loadgen.Load) (*lane, error) {
	load.Requests = max(load.InFlight, 10)
	elapsed, err := measure(c, load)
	for err == nil && elapsed < turnTime/2 {
		load.Requests *= 2
		elapsed, err = measure(c, load)
	}
	return &lane{contestant: c, load: load}, err
}

func (l *lane) turn() error {
	if l.elapsed >= repeatTime {
		return nil
	}
	elapsed, err := measure(l.contestant, l.load)
	l.elapsed += elapsed
	l.requests += l.load.Requests
	return err
}

func (l *lane) finishRepeat() {
	l.samples = append(l.samples, l.elapsed.Seconds()/float64(l.requests))
	l.elapsed, l.requests = 0, 0
}

// ratios is the time of one lane in times that of another, for each repeat.
func ratios(of, to *lane) []float64 {
	var out []float64
	for i, sample := range of.samples {
		out = append(out, sample/to.samples[i])
	}
	return out
}
