package proxy

import (
	"testing"

	"github.com/zmqauth/zmqauth/internal/libzmq"
)

// TestOwed: which messages a service still owes a reply.
func TestOwed(t *testing.T) {
	for name, test := range map[string]struct {
		up, down libzmq.Way
		want     uint64
	}{
		"nothing":  {want: 0},
		"requests": {up: libzmq.Way{Passed: 3, Delimited: 3}, want: 3},
		"answered": {
			libzmq.Way{Passed: 3, Delimited: 3}, libzmq.Way{Passed: 3, Delimited: 3}, 0},
		"one-way":           {up: libzmq.Way{Passed: 5}, want: 0},
		"no longer one-way": {libzmq.Way{Passed: 5}, libzmq.Way{Passed: 1}, 4},
		"both": {
			libzmq.Way{Passed: 5, Delimited: 2}, libzmq.Way{Passed: 1, Delimited: 1}, 1},
		"unasked replies": {libzmq.Way{}, libzmq.Way{Passed: 7}, 0},
	} {
		if got := new(owed).count(test.up, test.down); got != test.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestOwedGivesUp: requests that a service had when it ended are owed no more. Those that are still
// with libzmq are, and so are later ones.
func TestOwedGivesUp(t *testing.T) {
	var o owed
	up := libzmq.Way{Passed: 10, Delimited: 10, Open: 4}
	down := libzmq.Way{Passed: 3, Delimited: 3}
	if got := o.giveUp(up, down); got != 3 {
		t.Errorf("%d were given up", got)
	}
	if got := o.count(up, down); got != 4 {
		t.Errorf("%d are owed", got)
	}
	up.Passed, up.Delimited = 12, 12
	down.Passed, down.Delimited = 9, 9
	if got := o.count(up, down); got != 0 {
		t.Errorf("%d are owed in the end", got)
	}
}

// TestLeftovers: the error names each frontend that has lost messages, and no other.
func TestLeftovers(t *testing.T) {
	var l leftovers
	l.add("quiet", Undelivered{})
	l.add("asked", Undelivered{Unanswered: 3})
	if err := l.err(); err != nil {
		t.Error(err)
	}
	l.add("b", Undelivered{Messages: 1})
	l.add("a", Undelivered{Messages: 2, Unanswered: 9})
	l.add("b", Undelivered{Messages: 4})
	want := `messages were taken and not passed on: frontend "a": 2, frontend "b": 5`
	if err := l.err(); err == nil || err.Error() != want {
		t.Error(err)
	}
}
