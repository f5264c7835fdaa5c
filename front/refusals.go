package front

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/reminder"
)

// refusals counts and logs the connections that are refused.
type refusals struct {
	log      *slog.Logger
	endpoint string

	mu      sync.Mutex
	total   uint64
	reasons map[string]uint64
	events  map[string]*reminder.Events
}

func newRefusals(log *slog.Logger, endpoint string) *refusals {
	if log == nil {
		log = slog.Default()
	}
	return &refusals{log: log, endpoint: endpoint, reasons: make(map[string]uint64),
		events: make(map[string]*reminder.Events)}
}

// add counts a refusal. A line for the log, if one is due, is written by a goroutine of its own: a
// slow logger must not hold up the connections.
func (r *refusals) add(reason, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	r.reasons[reason]++
	if r.events[reason] == nil {
		r.events[reason] = new(reminder.Events)
	}
	count, due := r.events[reason].Due(time.Now())
	if !due {
		return
	}
	go func() {
		defer func() { _ = recover() }() // a panic of the logger has nobody else to be told to
		r.log.Warn("front: connections are refused", "endpoint", r.endpoint, "reason", reason,
			"times", count, "address", address)
	}()
}

func (r *refusals) counts() (total uint64, reasons map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total, maps.Clone(r.reasons)
}
