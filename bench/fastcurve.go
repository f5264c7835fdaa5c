package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/fastcurve"
)

// The clients of all handshakes are in this process, which imports fastcurve, so that they hold up
// no server. The contestants are without it, but for those of measureFastcurve.
const noFastcurve, withFastcurve = "ZMQAUTH_FASTCURVE=off", "ZMQAUTH_FASTCURVE="

// wantedFastcurve is the bound for the rate of CURVE handshakes with fastcurve, as a share of the
// rate with the C loop, which no handler can exceed without it.
var wantedFastcurve = atLeast(1.4)

// longTurn is the number of handshakes in a turn: so many that beginning and end, when fewer than
// 64 are under way, count little.
const longTurn = 8 * manyAtOnce

var ioThreads = []int{1, 2, 4}

// measureFastcurve measures CURVE handshakes with fastcurve and without it: of a server that has a
// processor of its own, and of servers with several I/O threads, on all processors.
func measureFastcurve() ([]table, error) {
	if !fastcurve.Active() {
		return nil, fmt.Errorf("fastcurve: %w: a libzmq with libsodium", errMissing)
	}
	rates, err := among(keysInSetup, 0, apart,
		self("C loop"), self("zmqauth"), selfWith("zmqauth", withFastcurve))
	if err != nil {
		return nil, err
	}
	var peers []peer
	for _, threads := range ioThreads {
		for _, environment := range []string{noFastcurve, withFastcurve} {
			peers = append(peers, func(w setup) (*contestant, error) {
				w.ioThreads = threads
				return selfWith("zmqauth", environment)(w)
			})
		}
	}
	more, err := among(keysInSetup, 0, withThreads, peers...)
	return append(rates, more...), err
}

const titleFastcurve = "Whole CURVE handshakes over TCP with fastcurve, 64 at once"

// apart compares the C loop, zmqauth, and zmqauth with fastcurve, all on the first processor. The
// clients have the others, so that what counts is the server's work alone.
func apart(w setup, contestants field) (_ []table, err error) {
	if runtime.NumCPU() == 1 {
		return nil, fmt.Errorf("fastcurve: %w: a second processor", errMissing)
	}
	everywhere, err := processors()
	if err != nil {
		return nil, err
	}
	for _, c := range contestants {
		if err := confine(c.command.Process.Pid, everywhere[:1]); err != nil {
			return nil, err
		}
	}
	if err := confine(os.Getpid(), everywhere[1:]); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, confine(os.Getpid(), everywhere)) }()
	lanes, err := raceHandshakes(w, contestants, len(everywhere)-1, timeOfIOThreads)
	if err != nil {
		return nil, err
	}
	loop, without, with := lanes[0], lanes[1], lanes[2]
	const title = titleFastcurve + ", the server on a processor of its own"
	rate := table{name: "fastcurve", title: title, ratio: "rate"}
	// With processors enough, the I/O thread is what limits the rate.
	used := table{
		name:  "fastcurve-thread",
		title: titleFastcurve,
		ratio: "handshakes for each second of the I/O thread's processor time",
	}
	for _, to := range []struct {
		name   string
		lane   *lane
		wanted bound
	}{
		{"times the C loop's", loop, wantedFastcurve}, {"times that without", without, bound{}},
	} {
		rate.add(figure{"CURVE", to.name, ratios(to.lane, with, elapsed), bound{}})
		used.add(figure{"CURVE", to.name, ratios(to.lane, with, cpu), to.wanted})
	}
	return []table{rate, used}, nil
}

// withThreads compares servers without and with fastcurve for each number of I/O threads.
func withThreads(w setup, contestants field) ([]table, error) {
	lanes, err := raceHandshakes(w, contestants, runtime.NumCPU(), (*contestant).CPU)
	if err != nil {
		return nil, err
	}
	const title = titleFastcurve + ", by I/O threads"
	rate := table{name: "fastcurve-threads", title: title, ratio: "rate"}
	used := table{
		name:  "fastcurve-cpu",
		title: title,
		ratio: "processor time of the server for each, times that without fastcurve",
	}
	for i, threads := range ioThreads {
		without, with := lanes[2*i], lanes[2*i+1]
		of := fmt.Sprintf("I/O threads: %d", threads)
		rate.add(figure{of, "times that without", ratios(without, with, elapsed), bound{}})
		rate.add(figure{of, "times that with 1 thread", ratios(lanes[1], with, elapsed), bound{}})
		used.add(figure{of, "zmqauth", ratios(with, without, cpu), bound{}})
	}
	return []table{rate, used}, nil
}

// raceHandshakes lets clients with that many I/O threads make CURVE handshakes. used returns the
// processor time of a contestant that counts.
func raceHandshakes(
	w setup, contestants field, threads int, used func(*contestant) (time.Duration, error),
) (_ []*lane, err error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ctx.Term()) }()
	if err := ctx.SetIoThreads(threads); err != nil {
		return nil, err
	}
	rules := rules{repeats: 31, least: longTurn, turn: 10 * time.Millisecond}
	return race(rules, contestants.entrants(func(c *contestant, count int) (cost, error) {
		before, err := used(c)
		if err != nil {
			return cost{}, err
		}
		spent, err := connect(ctx, c, w.client("CURVE", c), manyAtOnce, count)
		if err != nil {
			return cost{}, err
		}
		after, err := used(c)
		return cost{spent.elapsed, after - before}, err
	}))
}

// timeOfIOThreads returns the processor time that libzmq's I/O threads in a contestant have used.
func timeOfIOThreads(c *contestant) (time.Duration, error) {
	return timeOfThreads(c.command.Process.Pid, "ZMQbg/IO/")
}
