package session

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Table is all sessions of one ZAP handler. Its methods may be called by any goroutine, but not by
// the functions of Config.
type Table struct {
	cfg Config

	ids     atomic.Uint64
	tally   Tally
	waiting atomic.Int32 // replies that wait for their turn
	closed  chan struct{}
	done    chan struct{}
	round   int           // of the last Rejudge; 1: there was none
	wake    chan struct{} // has a token where the Table's goroutine sleeps too long

	mu        sync.Mutex // held shortly: decisions wait for it
	byID      map[uint64]*entry
	all       []*entry            // of byID, in no order
	perhaps   map[uint64]struct{} // those that have ended, or one alike: see trim
	counts    map[string]int      // of byID, by domain
	sockets   map[*Socket]struct{}
	domains   map[string]int // of the sockets, with how many there are
	lanes     map[laneKey]*lane
	busy      map[*lane]struct{}    // that have a reply under way
	closing   map[*conn]time.Time   // whose end was told of, then, but that are open
	late      map[laneKey]time.Time // when lanes were cut that may have unknown connections
	untrimmed map[*lane]struct{}    // whose group has young sessions, perhaps too many
	fresh     []*entry              // that were not judged since they were opened
	due       time.Time             // when the next session expires; zero: none does
	wakes     time.Time             // when the Table's goroutine looks next
}

// Config is what a Table needs of its owner.
type Config struct {
	// Judge tells whether a session that has just been opened would be let in now, and when it
	// expires (zero: never). It is called without locks.
	Judge func(Session) (expires time.Time, ok bool)
	// Changed is told of each session that opens or has ended, in the order in which that happened
	// for this session. It must not block.
	Changed func(s Session, open bool)
	// Refused is told of each connection that limits end. times is how many there were for that
	// reason since it was to be logged last; 0: it is not to be logged. It must not block.
	Refused func(r Refusal, times int)
}

// entry is a session in the table. It is on a connection that is known, or in a group.
type entry struct {
	Session // as it was opened; only when it expires may change
	expires atomic.Pointer[time.Time]
	conn    *conn // nil: it is in the group of a lane
	lane    *lane // nil: it is on the connection
	place   int   // in Table.all; -1: it has ended
	round   int   // the Rejudge that it has passed last; 0: none
}

// New makes a Table. Close ends it.
func New(cfg Config) *Table {
	t := &Table{
		cfg:       cfg,
		byID:      make(map[uint64]*entry),
		perhaps:   make(map[uint64]struct{}),
		counts:    make(map[string]int),
		sockets:   make(map[*Socket]struct{}),
		domains:   make(map[string]int),
		lanes:     make(map[laneKey]*lane),
		busy:      make(map[*lane]struct{}),
		closing:   make(map[*conn]time.Time),
		late:      make(map[laneKey]time.Time),
		untrimmed: make(map[*lane]struct{}),
		wake:      make(chan struct{}, 1),
		closed:    make(chan struct{}),
		done:      make(chan struct{}),
		round:     1,
	}
	go t.run()
	return t
}

// Close ends the Table's goroutine. Connections stay as they are.
func (t *Table) Close() {
	t.mu.Lock()
	select {
	case <-t.closed:
	default:
		close(t.closed)
	}
	t.mu.Unlock()
	<-t.done
}

// NextID returns an ID that no session has had.
func (t *Table) NextID() uint64 { return t.ids.Add(1) }

// Refused is how many connections limits have ended.
func (t *Table) Refused() uint64 { return t.tally.Total() }

// entries are the open sessions, in no order.
func (t *Table) entries() []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}

// Sessions returns the open sessions, the oldest first.
func (t *Table) Sessions() []Session {
	var all []Session
	for _, e := range t.entries() {
		all = append(all, e.snapshot())
	}
	slices.SortFunc(all, func(a, b Session) int { return int(int64(a.ID) - int64(b.ID)) })
	return all
}

// comeFrom says where the connection comes from, unless the owner knows better.
func (e *entry) comeFrom(client netip.AddrPort, peer string) {
	if !e.Client.IsValid() && e.Peer == "" {
		e.Client, e.Peer = client, peer
	}
}

func (e *entry) snapshot() Session {
	s := e.Session
	s.Exact = e.conn != nil
	if at := e.expires.Load(); at != nil {
		s.Expires = *at
	}
	return s
}

// Counts is how many sessions each domain has that has any.
func (t *Table) Counts() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// Alive tells whether a session is open, or may be.
func (t *Table) Alive(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, perhaps := t.perhaps[id]
	return perhaps || t.byID[id] != nil
}

// Cut ends the sessions that match, with their connections. It returns how many sessions that were.
// A session of a group ends with all of its group.
func (t *Table) Cut(match func(Session) bool) (count int) {
	for _, e := range t.entries() {
		if match(e.snapshot()) {
			count += t.cutOne(e)
		}
	}
	return count
}

// CutAll ends all connections, those included that carry no session yet, and all sessions.
func (t *Table) CutAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.sockets {
		for _, c := range s.conns {
			_ = c.handle.cut() // an error means that it has ended by itself
		}
	}
	for _, l := range t.lanes {
		t.cutLater(l, time.Now())
		t.forgetPerhaps(l)
	}
	for len(t.all) > 0 {
		t.end(t.all[len(t.all)-1])
	}
}

// cutOne ends a session and its connection, or all of its group, unless it has ended meanwhile.
func (t *Table) cutOne(e *entry) (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.place < 0 {
		return 0
	}
	if e.conn == nil {
		return t.cutGroup(e.lane)
	}
	c := e.conn
	t.end(e)
	_ = c.handle.cut()
	return 1
}

// end takes a session out of the table. The caller holds t.mu.
func (t *Table) end(e *entry) {
	if e.place < 0 {
		return
	}
	last := t.all[len(t.all)-1]
	t.all[e.place], last.place = last, e.place
	t.all[len(t.all)-1] = nil
	t.all, e.place = t.all[:len(t.all)-1], -1
	delete(t.byID, e.ID)
	if t.counts[e.Domain]--; t.counts[e.Domain] == 0 {
		delete(t.counts, e.Domain)
	}
	if e.conn != nil {
		e.conn.session = nil
	} else {
		delete(e.lane.sessions, e)
	}
	t.cfg.Changed(e.snapshot(), false)
}

// begin puts a session into the table. The caller holds t.mu.
func (t *Table) begin(e *entry) {
	e.expires.Store(&e.Expires)
	t.dueBy(e.Expires)
	t.byID[e.ID] = e
	t.counts[e.Domain]++
	e.place = len(t.all)
	t.all = append(t.all, e)
	t.fresh = append(t.fresh, e)
	t.cfg.Changed(e.snapshot(), true)
}

// dueBy notes when a session expires; zero: never. The caller holds t.mu.
func (t *Table) dueBy(at time.Time) {
	if !at.IsZero() && (t.due.IsZero() || at.Before(t.due)) {
		t.due = at
	}
}

// IsDue tells whether a session has expired, or may have, since the last Rejudge.
func (t *Table) IsDue(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.due.IsZero() && !now.Before(t.due)
}

// Rejudge ends the sessions that judge does not let in any more. judge is called without locks. It
// tells when a session expires, too. again says that the session has passed the Rejudge before this
// one. Rejudge returns how many sessions it has ended. One goroutine at a time may call it.
func (t *Table) Rejudge(judge func(s Session, again bool) (expires time.Time, ok bool),
) (count int) {
	t.round++
	t.mu.Lock()
	t.due = time.Time{}
	all := slices.Clone(t.all) // later ones tell of their expiry
	t.mu.Unlock()
	var next time.Time // when the first of them expires
	for _, e := range all {
		again := e.round == t.round-1
		expires, ok := judge(e.snapshot(), again)
		e.round = t.round
		if !ok {
			count += t.cutOne(e)
			continue
		}
		if !again || expires != *e.expires.Load() {
			e.expires.Store(&expires)
		}
		if !expires.IsZero() && (next.IsZero() || expires.Before(next)) {
			next = expires
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dueBy(next)
	return count
}
