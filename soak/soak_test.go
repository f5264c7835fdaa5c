package soak

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// The short form is for every run of the tests.
var duration = flag.Duration("soak", 6*time.Second, "how long to press")

// patience is how long anything may take that must happen; half of all good clients need less than
// a tenth of it.
const patience = 30 * time.Second

// overhead is what is added for the realm, the waits until all is quiet, and the end.
const overhead = 3 * time.Minute

// TestSoak runs in a Kerberos realm of its own.
func TestSoak(t *testing.T) {
	testrealm.Run(t, soak(t), fmt.Sprintf("-soak=%v", *duration), fmt.Sprintf("-test.timeout=%v", *duration+overhead))
}

// soak presses twice: what the second time leaves behind that the first did not is lost.
func soak(t *testing.T) func(*testrealm.Realm) {
	return func(*testrealm.Realm) {
		begun := measure(t)
		w := newWorld(t)
		w.press(t, *duration/4, func() bool { return true })
		before := w.quiet(t)
		w.press(t, *duration-*duration/4, w.tally.complete)
		w.quiet(t)
		after := returned(t, before)
		w.close(t)
		ended := returned(t, resources{goroutines: begun.goroutines, descriptors: begun.descriptors, sockets: begun.sockets, heap: after.heap, resident: after.resident})
		w.tally.report(t)
		t.Logf("at the beginning: %v\nafter a quarter: %v\nin the end: %v\nall closed: %v", begun, before, after, ended)
	}
}
