package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

const (
	directoryRepeats = 3
	largest          = 100_000 // certificates

	// wantedFaster is the bound for the ZAP request of a handshake with the largest directory: czmq's
	// time, times zmqauth's. A whole handshake has no such bound, because libzmq needs time for it
	// with every handler; see the handshakes with the C loop.
	wantedFaster = 1000

	patientClient = 2 * time.Minute
)

// directories are the tables of the measurements with directories of certificates.
type directories struct {
	loading, memory, handshake, decision, change table
}

// newDirectories returns tables without figures.
func newDirectories() directories {
	const title = "Certificates in a directory: "
	return directories{
		loading: table{
			name:  "directory-loading",
			title: title + "from the process's start to the first client let in",
			ratio: "time, times that of reading the files",
		},
		memory: table{
			name:  "directory-memory",
			title: title + "memory of the process",
			ratio: "bytes for each certificate, times the 32 of a key",
		},
		handshake: table{
			name:  "directory-handshake",
			title: title + "a whole handshake over TCP, one at a time",
			ratio: "time, times that with the C loop",
		},
		decision: table{
			name:  "directory-decision",
			title: title + "the ZAP request of a handshake",
			ratio: "time of another, times zmqauth's",
		},
		change: table{
			name:  "directory-change",
			title: title + "from a new file to its client let in",
			ratio: "time, times that with 100 certificates",
		},
	}
}

// measureDirectories measures handlers with directories of more and more certificates.
func measureDirectories() ([]table, error) {
	d := newDirectories()
	var smallest *directory
	for _, certificates := range []int{100, 1_000, 10_000, largest} {
		m, err := newDirectory(certificates)
		if err != nil {
			return nil, fmt.Errorf("%d certificates: %w", certificates, err)
		}
		if smallest == nil {
			smallest = m
		}
		d.add(m, smallest)
	}
	return d.tables(), nil
}

// tables returns the tables that have figures. Some have none if a peer is missing.
func (d *directories) tables() []table {
	return slices.DeleteFunc([]table{d.loading, d.memory, d.handshake, d.decision, d.change},
		func(t table) bool { return len(t.figures) == 0 })
}

// directory has the measurements with one directory. All have a value for each repeat.
type directory struct {
	certificates int
	reading      []float64            // seconds to read the files
	by           map[string]*handling // by the names of contestants
}

// handling has the measurements of one contestant: seconds, and bytes of memory.
type handling struct{ loading, memory, handshake, decision, change []float64 }

func newDirectory(certificates int) (_ *directory, err error) {
	w, err := newSetup(certificates)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	m := &directory{certificates: certificates, by: make(map[string]*handling)}
	for range directoryRepeats {
		seconds, err := w.readAll()
		if err != nil {
			return nil, err
		}
		m.reading = append(m.reading, seconds)
		for _, start := range []peer{self("C loop"), self("zmqauth"), czmq, pyzmq} {
			if err := m.measure(w, start); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// readAll measures the time to read all files, which is the least that loading can take.
func (w *setup) readAll() (seconds float64, err error) {
	start := time.Now()
	directory := filepath.Join(w.directory, clientsName)
	entries, err := os.ReadDir(directory)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if _, err := os.ReadFile(filepath.Join(directory, e.Name())); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds(), nil
}

// measure starts a contestant, takes all measurements, and ends it.
func (m *directory) measure(w setup, starting peer) (err error) {
	f, err := newField(w, starting)
	if err != nil || len(f) == 0 {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	c := f[0]
	h := m.by[c.name]
	if h == nil {
		h = &handling{}
		m.by[c.name] = h
	}
	if _, err := c.handshakes(w, 1); err != nil {
		return err
	}
	h.loading = append(h.loading, time.Since(c.began).Seconds())
	resident, err := residentMemory(c.command.Process.Pid)
	if err != nil {
		return err
	}
	h.memory = append(h.memory, resident)
	seconds, err := average(func(count int) (time.Duration, error) { return c.handshakes(w, count) })
	if err != nil {
		return err
	}
	h.handshake = append(h.handshake, seconds)
	seconds, err = average(func(count int) (time.Duration, error) {
		load := w.load("CURVE")
		load.InFlight, load.Requests, load.Timeout = 1, count, patientClient
		result, err := c.ask(load)
		return result.Elapsed, err
	})
	if err != nil {
		return err
	}
	h.decision = append(h.decision, seconds)
	if c.name == "C loop" || c.name == "pyzmq" { // these do not read new files
		return nil
	}
	seconds, err = c.learn(w)
	h.change = append(h.change, seconds)
	return err
}

// handshakes returns the time of count handshakes, one after the other.
func (c *contestant) handshakes(w setup, count int) (spent time.Duration, err error) {
	ctx, err := zmq4.NewContext()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ctx.Term()) }()
	return loadgen.Handshakes(ctx, w.client("CURVE", c), 1, count)
}

// average returns how many seconds it takes to do something once. It does short things many times.
func average(do func(count int) (time.Duration, error)) (seconds float64, err error) {
	count := 1
	spent, err := do(count)
	for err == nil && spent < 50*time.Millisecond {
		count *= 4
		spent, err = do(count)
	}
	return spent.Seconds() / float64(count), err
}

// learn adds a certificate and returns the time until its client gets in.
func (c *contestant) learn(w setup) (seconds float64, err error) {
	key := randomKeys(1)[0]
	load := w.load("CURVE")
	load.Credentials = [][]byte{key[:]}
	load.InFlight, load.Requests, load.Timeout = 1, 1, patientClient
	name := "new-" + c.name
	began := time.Now()
	if err := w.add(name, key.String()); err != nil {
		return 0, err
	}
	for {
		result, err := c.Run(load)
		if err != nil {
			return 0, err
		}
		if result.ByStatus[200] == 1 {
			return time.Since(began).Seconds(), os.Remove(w.clientFile(name))
		}
		if time.Since(began) > patientClient {
			return 0, fmt.Errorf("%s: a new certificate does not count: %v", c.name, result.ByStatus)
		}
	}
}

// add adds the figures of a directory. Memory and changes are compared with those of the smallest.
func (d *directories) add(m, smallest *directory) {
	of := fmt.Sprintf("%d files", m.certificates)
	limit, ours := m.by["C loop"], m.by["zmqauth"]
	for _, name := range []string{"zmqauth", "czmq", "pyzmq"} {
		h := m.by[name]
		if h == nil {
			continue
		}
		d.loading.add(figure{of, name, divide(h.loading, m.reading), bound{}})
		d.handshake.add(figure{of, name, divide(h.handshake, limit.handshake), bound{}})
		if name != "zmqauth" {
			wanted := bound{}
			if name == "czmq" && m.certificates == largest {
				wanted = atLeast(wantedFaster)
			}
			d.decision.add(figure{of, name, divide(h.decision, ours.decision), wanted})
		}
		if m == smallest {
			continue
		}
		more := float64(m.certificates - smallest.certificates)
		var memory []float64
		for i, bytes := range h.memory {
			memory = append(memory, (bytes-smallest.by[name].memory[i])/more/keySize)
		}
		d.memory.add(figure{of, name, memory, bound{}})
		if len(h.change) > 0 {
			d.change.add(figure{of, name, divide(h.change, smallest.by[name].change), bound{}})
		}
	}
}

func (t *table) add(f figure) { t.figures = append(t.figures, f) }

// divide returns the ratios of the repeats.
func divide(of, by []float64) []float64 {
	var out []float64
	for i := range of {
		out = append(out, of[i]/by[i])
	}
	return out
}
