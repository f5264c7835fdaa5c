package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// A contestant is a ZAP handler under measurement. The load generator runs in the handler's process, so that one in
// another language brings the generator along, and reports what it measured.
type contestant interface {
	name() string
	run(load loadgen.Load) (loadgen.Result, error)
	close() error
}

// peers make what is measured beside zmqauth and the limit. Each guards a world of its own. What a peer needs may be
// missing: the error is errMissing then.
var peers = []func(world) (contestant, error){newZmq4, newCzmq, newPyzmq}

// errMissing says that a peer cannot be measured on this machine.
var errMissing = errors.New("not installed")

// field is all contestants: the limit first, zmqauth second.
type field []contestant

func newField(w world) (f field, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	for _, open := range append([]func(world) (contestant, error){newLimit, newZmqauth}, peers...) {
		c, err := open(w)
		if errors.Is(err, errMissing) {
			fmt.Fprintln(os.Stderr, "bench: left out:", err)
			continue
		}
		if err != nil {
			return f, err
		}
		f = append(f, c)
	}
	return f, nil
}

func (f field) close() error {
	var errs []error
	for _, c := range f {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// measure is how long a contestant takes for a load, every request of which it has to accept.
func measure(c contestant, load loadgen.Load) (time.Duration, error) {
	result, err := c.run(load)
	if err != nil {
		return 0, fmt.Errorf("%s, %s: %w", c.name(), load.Mechanism, err)
	}
	if result.ByStatus[200] != load.Requests {
		return 0, fmt.Errorf("%s, %s: replies by status %v, all should be 200", c.name(), load.Mechanism, result.ByStatus)
	}
	return result.Elapsed, nil
}
