package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// wantedHandshakes is zmqauth's share of the handshakes a second that there are with the C loop as
// the handler.
var wantedHandshakes = map[string]bound{"NULL": atLeast(0.93), "PLAIN": atLeast(0.93), "CURVE": atLeast(0.98)}

// handshakesInTurn takes longer than a turn has to, so that all do as many: what one takes depends
// on how many there are besides the first and the last ones, with which fewer are under way.
const handshakesInTurn = 2 * manyAtOnce

// measureHandshakes connects to sockets whose libzmq asks the handler beside them, and to some
// without a handler.
func measureHandshakes() ([]table, error) {
	return among(keysInWorld, 0, handshakes, self("C loop"), self("zmqauth"), self("zmq4"), czmq, pyzmq, self("none"))
}

// handshakes has contestants race, the limit first, and the one without a handler last: over PLAIN
// that lets nobody in.
func handshakes(w world, contestants field) (_ []table, err error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ctx.Term()) }()
	rates := table{name: "handshakes", title: "Whole handshakes over TCP, 64 at once, 1,000 keys known", ratio: "rate, share of that with the C loop"}
	cpus := table{name: "handshakes-cpu", title: "Whole handshakes over TCP, 64 at once, 1,000 keys known", ratio: "processor time of the server for each, times that with the C loop"}
	for _, mechanism := range mechanisms {
		racing := contestants
		if mechanism == "PLAIN" {
			racing = contestants[:len(contestants)-1]
		}
		lanes, err := race(rules{repeats: 81, least: handshakesInTurn, turn: 10 * time.Millisecond},
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

// connect has clients get in. What the server has to do once they have gone is not part of their
// time, but of its processor time; and none of it is left for the turn of another.
func connect(ctx *zmq4.Context, to *contestant, client loadgen.Client, atOnce, count int) (cost, error) {
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
	settleInterval = 4 * time.Millisecond // the system may add up the time of a thread that runs no more often
	settlePatience = 25                   // intervals
	asGoodAsIdle   = settleInterval / 20
)

// settled waits until next to no processor time is used any more, and returns how much has been.
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
