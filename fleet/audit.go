package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/backoff"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

const (
	defaultMaxSpool = 4 << 20
	auditInterval   = time.Second // between two looks at what has gathered
	auditAttempt    = 5 * time.Second
	maxRefusals     = 256 // different ones within an interval; the others count as one
	maxBatch        = 100 // events that are recorded at once
)

// AuditOptions say how a server keeps its part of the audit log. Server is needed.
type AuditOptions struct {
	Server string // as in Options

	// Spool is a file for the events that the store does not have yet, with mode 0600. Events are
	// in it before they are sent, and survive a crash. Empty: they are in memory alone.
	Spool string
	// MaxSpool is how many bytes of events wait for the store. Refusals may fill half of it, and
	// what does not fit is counted. 0: 4 MiB.
	MaxSpool int

	Logger *slog.Logger // nil: slog.Default()
}

// Auditor sends a server's events to the store, and keeps them while the store is away. No method
// but Close waits for anything. Any goroutine may call them.
type Auditor struct {
	options AuditOptions
	store   AuditStore
	cancel  context.CancelFunc
	done    chan struct{}
	wake    chan struct{}

	mu       sync.Mutex
	refusals map[Event]int // since the last interval, by all but the time
	queue    [][]byte      // encoded, oldest first
	size     int           // bytes of the queue
	lost     int
	spool    *spool // nil: none
	member   *Member
	closed   bool
	failing  reminder.Condition
}

// NewAuditor begins to send events. What an earlier Auditor has left in the spool goes first.
func NewAuditor(s AuditStore, o AuditOptions) (*Auditor, error) {
	if s == nil {
		return nil, errors.New("fleet: NewAuditor: the AuditStore is nil")
	}
	if err := checkToken("Server", o.Server); err != nil {
		return nil, fmt.Errorf("fleet: NewAuditor: %w", err)
	}
	if o.MaxSpool < 0 {
		return nil, errors.New("fleet: NewAuditor: MaxSpool is negative")
	}
	if o.MaxSpool == 0 {
		o.MaxSpool = defaultMaxSpool
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	a := &Auditor{options: o, store: s, refusals: make(map[Event]int), done: make(chan struct{}),
		wake: make(chan struct{}, 1)}
	if o.Spool != "" {
		kept, text, err := openSpool(o.Spool, o.MaxSpool)
		if err != nil {
			return nil, fmt.Errorf("fleet: NewAuditor: %w", err)
		}
		a.spool = kept
		for line := range bytes.Lines(text) {
			a.restore(line)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	go a.run(ctx)
	return a, nil
}

// restore takes a line of the spool. One that is torn, or of another server, is left out.
func (a *Auditor) restore(line []byte) {
	var e Event
	line = bytes.TrimSuffix(line, []byte("\n"))
	if json.Unmarshal(line, &e) == nil && CheckEvents(a.options.Server, []Event{e}) == nil {
		a.queue, a.size = append(a.queue, line), a.size+len(line)
	}
}

// Add adds an event. A zero time is now; the server's id is set. Refusals that are equal but for
// the time, within a second, are sent as one.
func (a *Auditor) Add(e Event) {
	e.Server = a.options.Server
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e = e.clean()
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Kind == EventRefused {
		a.gather(e)
		return
	}
	a.add(e, a.options.MaxSpool)
}

// gather counts a refusal.
func (a *Auditor) gather(e Event) {
	count := max(e.Count, 1)
	e.At, e.Count = time.Time{}, 0
	if _, known := a.refusals[e]; !known && len(a.refusals) >= maxRefusals {
		e = Event{Kind: EventRefused, Server: e.Server, Reason: "others"}
	}
	a.refusals[e] += count
}

// add puts an event into the queue if there is room; a.mu is held.
func (a *Auditor) add(e Event, room int) {
	if a.lost > 0 && e.Kind != EventLost {
		lost := Event{At: e.At, Kind: EventLost, Server: e.Server, Count: a.lost}
		if a.put(lost, room) {
			a.lost = 0
		}
	}
	if !a.put(e, room) {
		a.lost += max(e.Count, 1)
	}
}

func (a *Auditor) put(e Event, room int) bool {
	line, err := json.Marshal(e)
	if err != nil || a.closed || a.size+len(line) > room {
		return false
	}
	a.queue, a.size = append(a.queue, line), a.size+len(line)
	if a.spool != nil {
		if err := a.spool.add(line); err != nil {
			a.tell("the spool cannot be written", err)
		}
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return true
}

// Decision adds a decision unless it lets the client in, for zmqauth.Config.OnDecision.
func (a *Auditor) Decision(d zmqauth.Decision) {
	if d.Status == 200 {
		return
	}
	a.Add(Event{Kind: EventRefused, Domain: d.Domain, Mechanism: d.Mechanism, UserID: d.UserID,
		Address: d.Address, Reason: d.Reason})
}

// Session adds the end of a session that was cut, for zmqauth.Config.OnSession: one whose client
// the fleet lets in no more, if the Auditor is that of Options.Audit, and one whose time is over.
func (a *Auditor) Session(s zmqauth.Session, open bool) {
	if open {
		return
	}
	a.mu.Lock()
	m := a.member
	a.mu.Unlock()
	reason := ""
	switch {
	case !s.Expires.IsZero() && !time.Now().Before(s.Expires):
		reason = "expired"
	case m != nil:
		reason = m.whyCut(s)
	}
	if reason == "" {
		return
	}
	e := Event{Kind: EventCut, Domain: s.Domain, Mechanism: s.Mechanism, UserID: s.UserID,
		Address: s.Peer, Reason: reason}
	if s.Client.IsValid() {
		e.Address = s.Client.String()
	}
	if s.Key != (zmqauth.PublicKey{}) {
		e.Key = s.Key.String()
	}
	a.Add(e)
}

func (a *Auditor) join(m *Member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.member = m
}

// run sends until the end of ctx, and then once more.
func (a *Auditor) run(ctx context.Context) {
	defer close(a.done)
	var turn backoff.Turn
	for ctx.Err() == nil {
		select {
		case <-time.After(auditInterval):
		case <-a.wake:
		case <-ctx.Done():
		}
		a.flushRefusals()
		for ctx.Err() == nil && turn.Await(ctx) {
			sent, err := a.send(ctx)
			turn.Note(err != nil)
			if sent == 0 && err == nil {
				break
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditAttempt)
	defer cancel()
	for {
		if sent, err := a.send(last); sent == 0 || err != nil {
			return
		}
	}
}

func (a *Auditor) flushRefusals() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := wall(time.Now())
	for e, count := range a.refusals {
		e.At = now
		if count > 1 {
			e.Count = count
		}
		a.add(e, a.options.MaxSpool/2)
	}
	clear(a.refusals)
}

// send records the oldest events.
func (a *Auditor) send(ctx context.Context) (sent int, err error) {
	a.mu.Lock()
	batch := a.queue[:min(len(a.queue), maxBatch)]
	a.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	events := make([]Event, 0, len(batch))
	for _, line := range batch {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return 0, err
		}
		events = append(events, e)
	}
	limited, cancel := context.WithTimeout(ctx, auditAttempt)
	defer cancel()
	err = a.store.Record(limited, a.options.Server, events)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			a.tell("the audit log cannot be written, events wait", err)
		}
		return 0, err
	}
	for _, line := range batch {
		a.size -= len(line)
	}
	a.queue = a.queue[len(batch):]
	if a.failing.Over() {
		a.options.Logger.Info("zmqauth: fleet: the audit log is written again")
	}
	if len(a.queue) == 0 && a.spool != nil {
		if err := a.spool.empty(); err != nil {
			a.tell("the spool cannot be written", err)
		}
	}
	return len(batch), nil
}

// tell logs what is wrong for a while; a.mu is held.
func (a *Auditor) tell(what string, err error) {
	if a.failing.Due(what, time.Now(), reminder.First) {
		a.options.Logger.Error("zmqauth: fleet: "+what, "error", err, "events", len(a.queue),
			"lost", a.lost)
	}
}

// Close sends what is left, for five seconds at most. What the store does not have then is in the
// spool. It is idempotent.
func (a *Auditor) Close() error {
	a.flushRefusals()
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		<-a.done
		return nil
	}
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	<-a.done
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	if len(a.queue) > 0 && a.spool == nil {
		err = fmt.Errorf("fleet: %d audit events are lost: the store is away", len(a.queue))
	}
	if a.spool != nil {
		err = a.spool.close()
	}
	return err
}

// Waiting is how many events the store does not have yet, and how many were lost since the last one
// that told of it.
func (a *Auditor) Waiting() (events, lost int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue), a.lost
}
