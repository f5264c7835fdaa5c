package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// wantedHandshakes has the bounds for zmqauth's rate of handshakes, as shares of the rate with the
// C loop as the handler.
var wantedHandshakes = map[string]bound{
	"NULL":  atLeast(0.93),
	"PLAIN": atLeast(0.93),
	"CURVE": atLeast(0.98),
}

// handshakesInTurn is the same number of handshakes for all contestants, because it takes longer
// than a turn must. The numbers must be equal: at the beginning and at the end of a turn fewer
// handshakes are under way, which counts more in a short turn.
const handshakesInTurn = 2 * manyAtOnce

// measureHandshakes measures handshakes of sockets with a handler, and of sockets without one.
func measureHandshakes() ([]table, error) {
	return among(keysInSetup, 0, handshakes,
		self("C loop"), self("zmqauth"), self("zmq4"), czmq, pyzmq, self("none"))
}

// handshakes compares contestants. The first is the C loop. The last has no handler and is left out
// for PLAIN, where it lets nobody in.
func handshakes(w setup, contestants field) (_ []table, err error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ctx.Term()) }()
	const title = "Whole handshakes over TCP, 64 at once, 1,000 keys known"
	rates := table{
		name:  "handshakes",
		title: title,
		ratio: "rate, share of that with the C loop",
	}
	cpus := table{
		name:  "handshakes-cpu",
		title: title,
		ratio: "processor time of the server for each, times that with the C loop",
	}
	rules := rules{repeats: 81, least: handshakesInTurn, turn: 10 * time.Millisecond}
	for _, mechanism := range mechanisms {
		racing := contestants
		if mechanism == "PLAIN" {
			racing = contestants[:len(contestants)-1]
		}
		lanes, err := race(rules, racing.entrants(func(c *contestant, count int) (cost, error) {
			return connect(ctx, c, w.client(mechanism, c), manyAtOnce, count)
		}))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mechanism, err)
		}
		for _, l := range lanes[1:] {
			wanted := ofZmqauth(l, wantedHandshakes[mechanism])
			rates.add(figure{mechanism, l.name, ratios(lanes[0], l, elapsed), wanted})
			cpus.add(figure{mechanism, l.name, ratios(l, lanes[0], cpu), bound{}})
		}
	}
	return []table{rates, cpus}, nil
}

// connect does handshakes. The server has work left after the clients have gone. This work counts
// as processor time, not as elapsed time. connect waits for its end, so that it does not slow down
// the turn of another contestant.
func connect(
	ctx *zmq4.Context, to *contestant, client loadgen.Client, atOnce, count int,
) (cost, error) {
	before, err := to.CPU()
	if err != nil {
		return cost{}, err
	}
	elapsed, err := loadgen.Handshakes(ctx, client, atOnce, count)
	if err != nil {
		return cost{}, fmt.Errorf("%s: handshakes: %w", to.name, err)
	}
	after, err := settled(to.CPU)
	return cost{elapsed, after - before}, err
}

const (
	// settleInterval is not shorter, because the system may update the time of a running thread only
	// that often.
	settleInterval = 4 * time.Millisecond
	settlePatience = 25                  // intervals
	asGoodAsIdle   = settleInterval / 20 // processor time in an interval
)

// settled waits until the process is nearly idle and returns its processor time.
func settled(cpu func() (time.Duration, error)) (time.Duration, error) {
	used, err := cpu()
	for range settlePatience {
		if err != nil {
			break
		}
		time.Sleep(settleInterval)
		before := used
		if used, err = cpu(); used-before < asGoodAsIdle {
			break
		}
	}
	return used, err
}
