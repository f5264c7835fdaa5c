package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
	"github.com/zmqauth/zmqauth/internal/daemon"
)

// A contestant is a ZAP handler under measurement. It runs in a process of its own that ends with
// its standard input. The load generator runs in the same process, so that handlers in other
// languages can be measured, and reports its results. It also has sockets in that process whose
// handshakes the handler decides.
type contestant struct {
	name    string
	began   time.Time
	command *exec.Cmd
	input   io.WriteCloser
	*loadgen.Remote
}

// A peer starts a contestant for a setup. The error matches errMissing if something it needs is not
// installed.
type peer func(setup) (*contestant, error)

// errMissing means that a peer cannot be measured on this machine.
var errMissing = daemon.ErrMissing

func start(name, program string, args ...string) (_ *contestant, err error) {
	return startCommand(name, exec.Command(program, args...))
}

func startCommand(name string, command *exec.Cmd) (_ *contestant, err error) {
	if command.Stderr == nil {
		command.Stderr = os.Stderr
	}
	input, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	remote, err := loadgen.NewRemote(input, output)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, errors.Join(err, input.Close(), command.Wait()))
	}
	return &contestant{name, began, command, input, remote}, nil
}

func (c *contestant) close() error {
	if err := errors.Join(c.input.Close(), c.command.Wait()); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// field is a list of contestants.
type field []*contestant

// newField starts the peers that are installed.
func newField(w setup, peers ...peer) (f field, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	for _, start := range peers {
		c, err := start(w)
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

// among starts the peers with a setup of that many keys, whose lookups take that long. It ends them
// after the measurement.
func among(
	keys int, lookup time.Duration, measure func(setup, field) ([]table, error), peers ...peer,
) (_ []table, err error) {
	w, err := newSetup(keys)
	if err != nil {
		return nil, err
	}
	w.lookup = lookup
	defer func() { err = errors.Join(err, w.remove()) }()
	f, err := newField(w, peers...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	return measure(w, f)
}

func (f field) close() error {
	var errs []error
	for _, c := range f {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// entrants returns an entrant for each contestant that does the work.
func (f field) entrants(work func(c *contestant, count int) (cost, error)) []entrant {
	var all []entrant
	for _, c := range f {
		all = append(all, entrant{c.name, func(count int) (cost, error) { return work(c, count) }})
	}
	return all
}

// ask sends a load to a contestant, which must accept every request.
func (c *contestant) ask(load loadgen.Load) (loadgen.Result, error) {
	result, err := c.Run(load)
	if err != nil {
		return result, fmt.Errorf("%s, %s: %w", c.name, load.Mechanism, err)
	}
	if result.ByStatus[200] != load.Requests {
		return result, fmt.Errorf("%s, %s: replies by status %v, all should be 200",
			c.name, load.Mechanism, result.ByStatus)
	}
	if b := result.Beside; b.Accepted != b.Requests {
		return result, fmt.Errorf("%s, %s: %d of %d replies beside are 200",
			c.name, load.Mechanism, b.Accepted, b.Requests)
	}
	return result, nil
}
