package session

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Table is all sessions of one ZAP handler. Its methods may be called by any goroutine, but not by
// the functions of Config.
type Table struct {
	cfg Config

	mu      sync.Mutex
	nextID  uint64
	byID    map[uint64]*entry
	sockets map[*Socket]struct{}
	lanes   map[laneKey]*lane
	busy    map[*lane]struct{} // that have a reply under way
	fresh   []*entry           // that were not judged since they were opened

	wake   chan struct{} // has a token while there may be something to do
	closed chan struct{}
	done   chan struct{}
}

// Config is what a Table needs of its owner.
type Config struct {
	// Judge tells whether a session would be let in now, and when it expires (zero: never). It is
	// called without locks, in no order.
	Judge func(Session) (expires time.Time, ok bool)
	// Changed is told of each session that opens or has ended, in the order in which that happened
	// for this session. It must not block.
	Changed func(s Session, open bool)
}

// entry is a session in the table. It is on a connection that is known, or in a group.
type entry struct {
	Session
	conn *conn // nil: it is in the group of a lane
	lane *lane // nil: it is on the connection
	open bool  // told to be open
}

// New makes a Table. Close ends it.
func New(cfg Config) *Table {
	t := &Table{
		cfg:     cfg,
		byID:    make(map[uint64]*entry),
		sockets: make(map[*Socket]struct{}),
		lanes:   make(map[laneKey]*lane),
		busy:    make(map[*lane]struct{}),
		wake:    make(chan struct{}, 1),
		closed:  make(chan struct{}),
		done:    make(chan struct{}),
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
func (t *Table) NextID() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nextID++
	return t.nextID
}

// Sessions returns the open sessions, the oldest first.
func (t *Table) Sessions() []Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Session, 0, len(t.byID))
	for _, e := range t.byID {
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
	return s
}

// Alive tells whether a session is open.
func (t *Table) Alive(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id] != nil
}

// Cut ends the sessions that match, with their connections. It returns how many sessions that were.
// A session of a group ends with all of its group.
func (t *Table) Cut(match func(Session) bool) (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range slices.Collect(maps.Values(t.byID)) {
		if t.byID[e.ID] == e && match(e.snapshot()) {
			count += t.cutEntry(e)
		}
	}
	return count
}

// cutEntry ends a session and its connection, or all of its group. The caller holds t.mu.
func (t *Table) cutEntry(e *entry) (count int) {
	if e.conn != nil {
		c := e.conn
		t.end(e)
		_ = c.handle.cut() // an error means that it has ended by itself
		return 1
	}
	return t.cutGroup(e.lane)
}

// end takes a session out of the table. The caller holds t.mu.
func (t *Table) end(e *entry) {
	delete(t.byID, e.ID)
	if e.conn != nil {
		e.conn.session = nil
	} else {
		delete(e.lane.sessions, e)
	}
	if e.open {
		e.open = false
		t.cfg.Changed(e.snapshot(), false)
	}
}

// begin puts a session into the table. The caller holds t.mu.
func (t *Table) begin(e *entry) {
	t.byID[e.ID] = e
	e.open = true
	t.fresh = append(t.fresh, e)
	t.cfg.Changed(e.snapshot(), true)
}

// Rejudge ends the sessions that would not be let in now. It returns how many it has ended, and when
// the next one expires (zero: none does).
func (t *Table) Rejudge() (count int, next time.Time) {
	t.mu.Lock()
	all := slices.Collect(maps.Values(t.byID))
	sessions := make([]Session, len(all))
	for i, e := range all {
		sessions[i] = e.Session
	}
	t.mu.Unlock()
	for i, s := range sessions {
		expires, ok := t.cfg.Judge(s)
		if !ok {
			count += t.endByID(s.ID, all[i])
			continue
		}
		if expires != s.Expires {
			t.expire(all[i], expires)
		}
		if !expires.IsZero() && (next.IsZero() || expires.Before(next)) {
			next = expires
		}
	}
	return count, next
}

// expire changes when a session expires.
func (t *Table) expire(e *entry, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.Expires = at
}

func (t *Table) endByID(id uint64, e *entry) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[id] != e {
		return 0 // it has ended meanwhile
	}
	return t.cutEntry(e)
}
