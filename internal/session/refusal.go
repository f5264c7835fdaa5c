package session

import (
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/reminder"
)

// Refusal says why a connection was ended before its handshake.
type Refusal struct {
	Address string // as ZAP has it
	Reason  string // one of the constants
}

// The reasons of Refusal.
const (
	TooMany           = "too-many-connections"
	TooManyOfOne      = "too-many-connections-of-address"
	TooFast           = "too-many-new-connections"
	IsPenalised       = "failed-handshakes"
	TooFewDescriptors = "too-few-descriptors"
	TooSlow           = "handshake-deadline"
)

// Tally counts refusals. Of each reason the first one is to be logged, and then sums. The zero
// value has seen none.
type Tally struct {
	mu      sync.Mutex
	total   uint64
	reasons map[string]*reminder.Events
}

// Note counts a refusal. times is how many there were for its reason since one was to be logged; 0:
// it is not to be logged.
func (t *Tally) Note(r Refusal, now time.Time) (times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	if t.reasons == nil {
		t.reasons = make(map[string]*reminder.Events)
	}
	if t.reasons[r.Reason] == nil {
		t.reasons[r.Reason] = new(reminder.Events)
	}
	times, _ = t.reasons[r.Reason].Due(now)
	return times
}

// Total is how many refusals there were.
func (t *Tally) Total() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// refuse counts the refusal of a connection, and tells the owner.
func (t *Table) refuse(address, reason string, now time.Time) {
	r := Refusal{Address: address, Reason: reason}
	t.cfg.Refused(r, t.tally.Note(r, now))
}
