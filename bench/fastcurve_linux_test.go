package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/fastcurve"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// lines returns the lines that begin with a prefix, in files of the directory of a contestant in
// /proc.
func lines(t *testing.T, c *contestant, pattern, prefix string) (found []string) {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/%s", c.command.Process.Pid, pattern))
	must.OK(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // a thread has ended
		}
		must.OK(t, err)
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				found = append(found, strings.TrimSpace(rest))
			}
		}
	}
	return found
}

// TestFastcurve makes sure that one contestant has fastcurve's memory and the other has not, that
// both have the I/O threads of their setup, and that the time of these counts.
func TestFastcurve(t *testing.T) {
	if !fastcurve.Active() {
		t.Fatal("fastcurve is not active")
	}
	clients := testzmq.NewContext(t)
	for environment, locked := range map[string]bool{noFastcurve: false, withFastcurve: true} {
		w := guarded(t, 1)
		w.ioThreads = 3
		c := started(t, w, selfWith("zmqauth", environment))
		before, err := timeOfIOThreads(c)
		must.OK(t, err)
		_, err = connect(clients, c, w.client("CURVE", c), 8, 200)
		must.OK(t, err)
		after, err := timeOfIOThreads(c)
		must.OK(t, err)
		if after <= before {
			t.Errorf("%s: processor time %v, then %v", environment, before, after)
		}
		if threads := lines(t, c, "task/*/comm", "ZMQbg/IO/"); len(threads) != w.ioThreads {
			t.Errorf("%s: I/O threads %v", environment, threads)
		}
		// Only the pool keeps memory locked after a handshake.
		if size := lines(t, c, "status", "VmLck:"); (size[0] != "0 kB") != locked {
			t.Errorf("%s: locked memory %v", environment, size)
		}
	}
}

// TestConfine makes sure that all threads of a process get the processors that they shall have.
func TestConfine(t *testing.T) {
	c := started(t, guarded(t, 1), self("zmqauth"))
	all, err := processors()
	must.OK(t, err)
	for _, wanted := range [][]int{all[:1], all} {
		must.OK(t, confine(c.command.Process.Pid, wanted))
		for _, mask := range lines(t, c, "task/*/status", "Cpus_allowed_list:") {
			if single := mask == fmt.Sprint(all[0]); single != (len(wanted) == 1) {
				t.Errorf("the processors %s, not %v", mask, wanted)
			}
		}
	}
}
