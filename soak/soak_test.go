package soak

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// duration is short by default, for every run of the tests.
var duration = flag.Duration("soak", 6*time.Second, "how long to run")

// patience is how long an event may take that must happen. Half of all good clients must get in
// within a tenth of it.
const patience = 30 * time.Second

// overhead is the additional time for the realm, for the waits until all is quiet, and for the end.
const overhead = 3 * time.Minute

// TestSoak runs in a Kerberos realm of its own.
func TestSoak(t *testing.T) {
	testrealm.Run(t, soak(t),
		fmt.Sprintf("-soak=%v", *duration),
		fmt.Sprintf("-test.timeout=%v", *duration+overhead),
	)
}

// soak runs everything twice. Resources that the second run adds to those of the first are leaked.
func soak(t *testing.T) func(*testrealm.Realm) {
	return func(*testrealm.Realm) {
		begun := measure(t)
		w := newWorld(t)
		w.run(t, *duration/4, func() bool { return true })
		before := w.quiet(t)
		w.run(t, *duration-*duration/4, w.tally.complete)
		w.quiet(t)
		after := returned(t, before)
		w.close(t)
		ended := returned(t, resources{
			goroutines:  begun.goroutines,
			descriptors: begun.descriptors,
			sockets:     begun.sockets,
			heap:        after.heap,
			resident:    after.resident,
		})
		w.tally.report(t)
		t.Logf("at the beginning: %v\nafter a quarter: %v\nin the end: %v\nall closed: %v",
			begun, before, after, ended)
	}
}
