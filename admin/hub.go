package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/zmqauth/zmqauth"
)

const (
	// maxReaders is how many pages are kept up to date at the same time.
	maxReaders = 32
	// lookTime is the time between two looks at the program, while somebody reads.
	lookTime = time.Second
	// stepTime is the time that a step of the history stands for, and maxSteps how many there are.
	stepTime = 5 * time.Second
	maxSteps = 180
	// maxListed is how many sessions are listed: the latest.
	maxListed = 200
	// listShare is the part of the time that listing sessions may take: one of so many.
	listShare = 50
)

var errManyReaders = errors.New("too many watch this page already; try again later")

// hub looks at a program and tells all readers. It makes each event once, however many readers
// there are. A reader that is slow misses events, and gets the latest: each one is whole.
type hub struct {
	auth    *zmqauth.Authenticator
	program *Program
	closed  chan struct{}
	done    chan struct{}
	wake    chan struct{} // has a token when a reader has come

	mu      sync.Mutex
	readers map[*reader]struct{}
	parts   map[string]part
	changed chan struct{} // closed at the next change of parts

	// The goroutine's own.
	history  history
	listed   time.Time     // when sessions were listed last
	listCost time.Duration // how long that took
}

// part is one kind of event.
type part struct {
	version uint64
	text    []byte
}

// reader is one who reads. One goroutine uses it.
type reader struct {
	hub  *hub
	sent map[string]uint64 // the version of each part
}

func newHub(auth *zmqauth.Authenticator, program *Program) *hub {
	h := &hub{auth: auth, program: program, closed: make(chan struct{}), done: make(chan struct{}),
		wake: make(chan struct{}, 1), readers: make(map[*reader]struct{}),
		parts: make(map[string]part), changed: make(chan struct{})}
	go h.run()
	return h
}

func (h *hub) close() {
	close(h.closed)
	<-h.done
}

func (h *hub) join() (*reader, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readers) >= maxReaders {
		return nil, errManyReaders
	}
	r := &reader{hub: h, sent: make(map[string]uint64)}
	h.readers[r] = struct{}{}
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return r, nil
}

func (h *hub) leave(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
}

func (h *hub) hasReaders() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.readers) > 0
}

// next waits for the parts that the reader does not have. It returns false when there will be none.
func (r *reader) next(ctx context.Context) (text []byte, ok bool) {
	for {
		r.hub.mu.Lock()
		for _, name := range []string{"history", "refusals", "sessions", "pending", "status"} {
			if p := r.hub.parts[name]; p.version > r.sent[name] {
				r.sent[name] = p.version
				text = append(text, p.text...)
			}
		}
		changed := r.hub.changed
		r.hub.mu.Unlock()
		if len(text) > 0 {
			return text, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false
		case <-r.hub.closed:
			return nil, false
		}
	}
}

// run looks at the program: for the history all the time, for the rest while somebody reads.
func (h *hub) run() {
	defer close(h.done)
	steps, looks := time.NewTicker(stepTime), time.NewTicker(lookTime)
	defer steps.Stop()
	defer looks.Stop()
	h.history.step(h.auth, time.Now())
	for {
		select {
		case <-h.closed:
			return
		case now := <-steps.C:
			h.history.step(h.auth, now)
			h.set("history", h.history.shown())
		case <-h.wake:
			h.set("history", h.history.shown())
			h.look(time.Now())
		case now := <-looks.C:
			if h.hasReaders() {
				h.look(now)
			}
		}
	}
}

// look makes the events of now.
func (h *hub) look(now time.Time) {
	h.set("status", h.program.status(h.auth))
	if h.program.Refusals != nil {
		h.set("refusals", h.program.Refusals.Recent())
	}
	if h.program.Pending != nil {
		waiting := h.program.Pending()
		h.set("pending", append([]Pending{}, waiting[:min(len(waiting), maxListed)]...))
	}
	if now.Sub(h.listed) < listShare*h.listCost {
		return // many sessions: seldom
	}
	h.listed = now
	begun := time.Now()
	sessions := h.auth.Sessions()
	latest := make([]Session, 0, min(len(sessions), maxListed))
	for i := len(sessions) - 1; i >= 0 && len(latest) < maxListed; i-- {
		latest = append(latest, shownSession(sessions[i], h.program.Frontends))
	}
	h.set("sessions", struct {
		Count  int       `json:"count"`
		Latest []Session `json:"latest"`
	}{len(sessions), latest})
	h.listCost = time.Since(begun)
}

// set makes the event of a part, if it is another than before.
func (h *hub) set(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		return // it has no values that JSON does not know
	}
	event := bytes.Join([][]byte{[]byte("event: " + name + "\ndata: "), text, []byte("\n\n")}, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.parts[name]
	if bytes.Equal(p.text, event) {
		return
	}
	h.parts[name] = part{p.version + 1, event}
	close(h.changed)
	h.changed = make(chan struct{})
}

// history is how many decisions there were in each step of late.
type history struct {
	steps []step // the latest last
	last  map[string]uint64
	at    time.Time
}

// step is the decisions of a step, in JSON.
type step struct {
	At      time.Time         `json:"at"`      // its end
	Seconds float64           `json:"seconds"` // that it took
	Counts  map[string]uint64 `json:"counts"`  // by reason; those without any are left out
}

// step ends a step.
func (h *history) step(auth *zmqauth.Authenticator, now time.Time) {
	sums := make(map[string]uint64)
	for _, c := range auth.Observe().Decisions.Counts() {
		sums[c.Reason] += c.Count
	}
	if h.last != nil {
		counts := make(map[string]uint64)
		for reason, sum := range sums {
			if more := sum - h.last[reason]; more > 0 {
				counts[reason] = more
			}
		}
		if len(h.steps) >= maxSteps {
			h.steps = append(h.steps[:0], h.steps[1:]...)
		}
		h.steps = append(h.steps, step{now.UTC(), now.Sub(h.at).Seconds(), counts})
	}
	h.last, h.at = sums, now
}

func (h *history) shown() any {
	if h.steps == nil {
		return []step{}
	}
	return h.steps
}
