package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// wantedHandshakes is zmqauth's share of the handshakes a second that there are with the C loop as the handler.
var wantedHandshakes = map[string]bound{"NULL": atLeast(0.93), "PLAIN": atLeast(0.93), "CURVE": atLeast(0.98)}

// measureHandshakes connects to sockets whose libzmq asks the handler beside them, and to some without a handler.
func measureHandshakes() ([]table, error) {
	return among(handshakes, self("C loop"), self("zmqauth"), self("zmq4"), czmq, pyzmq, self("none"))
}

// handshakes has contestants race, the limit first, and the one without a handler last: over PLAIN that lets nobody in.
func handshakes(w world, contestants field) (_ []table, err error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ctx.Term()) }()
	rates := table{name: "handshakes", title: "Whole handshakes over TCP, 64 at once", ratio: "rate, share of that with the C loop"}
	cpus := table{name: "handshakes-cpu", title: "Whole handshakes over TCP, 64 at once", ratio: "processor time of the server for each, times that with the C loop"}
	for _, mechanism := range mechanisms {
		racing := contestants
		if mechanism == "PLAIN" {
			racing = contestants[:len(contestants)-1]
		}
		lanes, err := race(rules{repeats: 21, least: manyAtOnce, turn: 50 * time.Millisecond},
			racing.entrants(func(c *contestant, count int) (cost, error) {
				return connect(ctx, c, w.client(mechanism, c), manyAtOnce, count)
			}))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mechanism, err)
		}
		for _, l := range lanes[1:] {
			rates.figures = append(rates.figures, figure{mechanism, l.name, ratios(lanes[0], l, elapsed), ofZmqauth(l, wantedHandshakes[mechanism])})
			cpus.figures = append(cpus.figures, figure{mechanism, l.name, ratios(l, lanes[0], cpu), bound{}})
		}
	}
	return []table{rates, cpus}, nil
}

// connect has clients get in.
func connect(ctx *zmq4.Context, to *contestant, client loadgen.Client, atOnce, count int) (cost, error) {
	before, err := to.CPU()
	if err != nil {
		return cost{}, err
	}
	elapsed, err := loadgen.Handshakes(ctx, client, atOnce, count)
	if err != nil {
		return cost{}, fmt.Errorf("%s: handshakes: %w", to.name, err)
	}
	after, err := to.CPU()
	return cost{elapsed, after - before}, err
}
