package front

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth/internal/session"
)

// refusals counts and logs the connections that are refused.
type refusals struct {
	log      *slog.Logger
	endpoint string
	tally    session.Tally

	mu      sync.Mutex
	reasons map[string]uint64
}

func newRefusals(log *slog.Logger, endpoint string) *refusals {
	if log == nil {
		log = slog.Default()
	}
	return &refusals{log: log, endpoint: endpoint, reasons: make(map[string]uint64)}
}

// add counts a refusal, and logs it if that is due.
func (r *refusals) add(reason, address string) {
	r.mu.Lock()
	r.reasons[reason]++
	r.mu.Unlock()
	count := r.tally.Note(session.Refusal{Address: address, Reason: reason}, time.Now())
	if count > 0 {
		r.warn("front: connections are refused", "reason", reason, "times", count,
			"address", address)
	}
}

// warn writes a line for the log by a goroutine of its own: a slow logger must not hold up the
// connections.
func (r *refusals) warn(message string, attributes ...any) {
	attributes = append([]any{"endpoint", r.endpoint}, attributes...)
	go func() {
		defer func() { _ = recover() }() // a panic of the logger has nobody else to be told to
		r.log.Warn(message, attributes...)
	}()
}

func (r *refusals) counts() (total uint64, reasons map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.Total(), maps.Clone(r.reasons)
}
