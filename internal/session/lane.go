package session

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// laneKey is what a ZAP request says of where it comes from.
type laneKey struct{ domain, mechanism, address string }

// lane is the connections from one address to the sockets of one domain and mechanism, and the
// replies to its requests. One reply at a time is under way, so that the connection that shows its
// effect is the one that it was for.
//
// Where no effect can be seen, or where it came too late, connections and sessions go into the
// lane's group: what is on which connection is not known, and all of it is cut together.
type lane struct {
	key   laneKey
	limit uint64             // of bytes that are written before a reply; 0: no effect can be seen
	conns map[*conn]struct{} // that are open

	candidates candidates // of conns

	queue []*Reply // that wait for their turn
	asked []*Reply // that are under way
	seen  bool     // an effect was seen since the last one was sent
	doubt bool     // a connection has ended that one of them may have been for
	// unclear are open connections that have shown the effect of one of several that are under way.
	unclear map[*conn]struct{}
	told    int           // of the connections without a known reply: to try again
	due     time.Time     // of the next look
	soon    time.Time     // of one before that, because others wait; zero: there is none
	pause   time.Duration // from that to the next one of its kind; 0: there is none
	search  int           // how many candidates are still to be looked at because of an event

	grouped  map[*conn]struct{}  // connections of the group
	sessions map[*entry]struct{} // of the group
	perhaps  []uint64            // sessions of the group that have ended, or others alike
}

// Reply is the reply to one ZAP request. Its owner sends it.
type Reply struct {
	Domain, Mechanism, Address string
	Session                    *Session // that it opens; nil: none
	Refused                    bool     // for good, not until the next try
	Silent                     bool     // libzmq writes nothing on it: it has no effect to look for
	Port                       uint16   // from which nobody else can connect; 0: not known

	// Send sends the reply, now or soon, and then calls Sent. It must not block. It is called again
	// to learn whether the connection still is there: libzmq passes over a second reply.
	Send func()

	lane     *lane
	sent     bool   // to a connection that was there
	repeated bool   // to be sent more than once
	looks    int    // for its effect, in vain
	entry    *entry // in the group already; nil: not yet, or there is none
}

func (t *Table) laneOf(key laneKey) *lane {
	l := t.lanes[key]
	if l == nil {
		l = &lane{key: key, conns: make(map[*conn]struct{}),
			unclear: make(map[*conn]struct{}), limit: beforeReply(key.mechanism)}
		if isIPC(key.address) {
			l.limit = 0
		}
		t.lanes[key] = l
	}
	return l
}

// tidy forgets a lane that has nothing. It may be forgotten already, and another one may have its
// key. The caller holds t.mu.
func (t *Table) tidy(l *lane) {
	isEmpty := len(l.conns) == 0 && len(l.queue) == 0 && len(l.asked) == 0 && len(l.sessions) == 0
	if isEmpty && t.lanes[l.key] == l {
		delete(t.lanes, l.key)
	}
}

// Offer takes a reply. It returns true if the owner is to send it at once, and to call Sent then.
// Otherwise Send is called when it is its turn: when the effect of the one before it has been seen.
func (t *Table) Offer(r *Reply) (now bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.lane = t.laneOf(laneKey{r.Domain, r.Mechanism, normalAddress(r.Address)})
	l := r.lane
	if len(l.asked) == 0 && len(l.queue) == 0 && l.mayGo(r, false) {
		t.ask(l, r)
		return true
	}
	l.queue = append(l.queue, r)
	if t.waiting.Add(1) == 1 {
		t.callReaders()
	}
	if len(l.queue) == 1 {
		if _, busy := t.busy[l]; !busy {
			l.due, t.busy[l] = time.Now().Add(lookInterval), struct{}{}
		}
		// A connection that was there for a moment only may never have been seen.
		l.doubt = l.doubt || len(l.asked) > 0 && l.asked[0].looks > 0
		t.expect(l)
	}
	return false
}

// callReaders ends the rest of the sockets' readers: a reply waits. The caller holds t.mu.
func (t *Table) callReaders() {
	for s := range t.sockets {
		select {
		case s.called <- struct{}{}:
		default:
		}
	}
}

// mayGo tells whether a reply may go out. Where no effect can be seen, one whose port is known
// waits for the event that tells of its connection, but not for ever; due counts that time.
func (l *lane) mayGo(r *Reply, due bool) bool {
	if l.limit > 0 || r.Port == 0 || l.from(r.Port) != nil {
		return true
	}
	if due {
		r.looks++
	}
	return r.looks >= ambiguity
}

// Withdraw says that a reply lets nobody in after all. One that was sent may have done so before:
// its session stays, and is judged like the others.
func (t *Table) Withdraw(r *Reply) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.sent {
		return
	}
	r.Session = nil
	if r.entry != nil {
		t.end(r.entry)
	}
}

// ask notes that a reply is under way. The caller holds t.mu, and sends it afterwards.
func (t *Table) ask(l *lane, r *Reply) {
	l.asked, r.looks = append(l.asked, r), 0
	l.seen, l.doubt = false, false
	l.due, l.soon, l.pause, l.search = time.Now().Add(firstLook), time.Time{}, 0, 0
	t.busy[l] = struct{}{}
	t.stirBy(l.due)
}

// Sent says that a reply was sent. gone says that its connection had ended before.
func (t *Table) Sent(r *Reply, gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := r.lane
	r.sent = r.sent || !gone
	switch {
	case gone:
		if r.repeated && l.limit > 0 { // its connection may be open, and show that the first one had come
			t.settle(l, l.candidates.lookAtAll(l.hasGrown))
		}
		if t.explain(l, r) { // it may be a repetition, of one that was explained meanwhile
			l.seen = true
		}
	case l.limit == 0 && r.entry == nil && l.from(r.Port) != nil:
		c := l.from(r.Port)
		c.decided = true
		t.bind(r, c)
		l.seen = true
	case l.limit == 0:
		t.join(l, r)
		t.explain(l, r)
		l.seen = true
	case r.Silent && t.explain(l, r): // its connection may be there for long
		l.seen = true
		l.told++
	}
	if l.seen {
		t.stirBy(time.Now())
	}
}

// from is the undecided connection from a port, if it is known and there is one alone.
func (l *lane) from(port uint16) (found *conn) {
	for c := range l.conns {
		if port == 0 || c.decided || c.origin.client.Port() != port {
			continue
		}
		if found != nil {
			return nil
		}
		found = c
	}
	return found
}

// explain takes a reply from those under way. It returns false if it was none of them. The session
// of one that is gone is over. The caller holds t.mu.
func (t *Table) explain(l *lane, r *Reply) bool {
	i := slices.Index(l.asked, r)
	if i < 0 {
		return false
	}
	l.asked = slices.Delete(l.asked, i, i+1)
	if len(l.asked) == 0 {
		clear(l.unclear)
	}
	t.tidy(l)
	return true
}

// bind says that a reply was for that connection. The caller holds t.mu.
func (t *Table) bind(r *Reply, c *conn) {
	t.explain(r.lane, r)
	if r.Session == nil {
		if r.Refused && c.socket.limits != nil {
			c.socket.limits.fail(c, time.Now())
		}
		return
	}
	e := &entry{Session: *r.Session, conn: c}
	e.comeFrom(c.origin.client, c.origin.peer)
	c.session = e
	if c.socket.limits != nil {
		c.socket.limits.succeed(c)
	}
	t.begin(e)
}

// join puts the session of a reply into the group of its lane. The caller holds t.mu.
func (t *Table) join(l *lane, r *Reply) {
	if r.Session == nil || r.entry != nil {
		return
	}
	e := &entry{Session: *r.Session, lane: l}
	e.comeFrom(l.origin())
	r.entry = e
	if l.sessions == nil {
		l.sessions = make(map[*entry]struct{})
	}
	l.sessions[e] = struct{}{}
	t.begin(e)
	t.trim(l)
}

// group puts a connection into the group.
func (l *lane) group(c *conn) {
	if l.grouped == nil {
		l.grouped = make(map[*conn]struct{})
	}
	l.grouped[c] = struct{}{}
}

// together are the connections of the group: all, where no effect can be seen.
func (l *lane) together() map[*conn]struct{} {
	if l.limit == 0 {
		return l.conns
	}
	return l.grouped
}

// leave takes a connection out of the lane. The sessions of the group end with its last connection.
// The caller holds t.mu.
func (t *Table) leave(l *lane, c *conn) {
	c.left = true
	delete(l.conns, c)
	delete(l.grouped, c)
	delete(l.unclear, c)
	if !c.decided && len(l.queue) > 0 {
		l.doubt = true
		t.expect(l)
	}
	t.trim(l)
	t.tidy(l)
}

// trimAge is how old a session of a group is before it may be one that must have ended. Events that
// tell of connections may be late.
const trimAge = 2 * time.Second

// trimOld ends the sessions of groups that were too young for that before.
func (t *Table) trimOld() {
	t.mu.Lock()
	lanes := t.untrimmed
	t.untrimmed = make(map[*lane]struct{})
	t.mu.Unlock()
	for l := range lanes {
		t.mu.Lock() // for each anew: decisions wait for it
		t.trim(l)
		t.tidy(l)
		t.mu.Unlock()
	}
}

// maxPerhaps is of how many sessions of a group it is remembered that they may not have ended.
const maxPerhaps = 1000

// trim ends the sessions of the group that must have ended: of each kind there are no more than
// connections. Which of several alike has ended makes no difference to those who judge them. To
// those who get its messages it does, so that Alive does not deny it while the group lasts. The
// caller holds t.mu.
func (t *Table) trim(l *lane) {
	most := len(l.together())
	if most > 0 && len(l.sessions) <= most {
		return
	}
	if most == 0 {
		t.forgetPerhaps(l)
	}
	alike := make(map[Session][]*entry)
	for e := range l.sessions {
		if l.isAsked(e) || time.Since(e.Since) < trimAge {
			t.untrimmed[l] = struct{}{}
			continue // its connection may be one that is not known yet
		}
		kind := e.Session
		kind.ID, kind.Since = 0, time.Time{}
		alike[kind] = append(alike[kind], e)
	}
	for _, entries := range alike {
		for len(entries) > most {
			oldest := 0
			for i, e := range entries {
				if e.ID < entries[oldest].ID {
					oldest = i
				}
			}
			t.end(entries[oldest])
			if most > 0 {
				t.notePerhaps(l, entries[oldest].ID)
			}
			entries = append(entries[:oldest:oldest], entries[oldest+1:]...)
		}
	}
}

// notePerhaps notes that a session of the group has ended, or another one alike. The caller holds
// t.mu.
func (t *Table) notePerhaps(l *lane, id uint64) {
	if len(l.perhaps) >= maxPerhaps {
		delete(t.perhaps, l.perhaps[0])
		l.perhaps = l.perhaps[1:]
	}
	l.perhaps = append(l.perhaps, id)
	t.perhaps[id] = struct{}{}
}

// forgetPerhaps says that all those have ended. The caller holds t.mu.
func (t *Table) forgetPerhaps(l *lane) {
	for _, id := range l.perhaps {
		delete(t.perhaps, id)
	}
	l.perhaps = nil
}

// isAsked tells whether the reply that opened a session is under way.
func (l *lane) isAsked(e *entry) bool {
	for _, r := range l.asked {
		if r.entry == e {
			return true
		}
	}
	return false
}

// cutGroup ends the connections and the sessions of a group. It returns how many sessions that
// were. The caller holds t.mu.
func (t *Table) cutGroup(l *lane) (count int) {
	t.cutLater(l, time.Now())
	for c := range l.together() {
		_ = c.handle.cut()
	}
	t.forgetPerhaps(l)
	for e := range l.sessions {
		t.end(e)
		count++
	}
	return count
}

// origin is where the connections of the lane come from: without a port, because it is not known
// which of them it is.
func (l *lane) origin() (client netip.AddrPort, peer string) {
	if isIPC(l.key.address) {
		return netip.AddrPort{}, strings.TrimPrefix(l.key.address, ipcPrefix)
	}
	addr, err := netip.ParseAddr(l.key.address)
	if err != nil {
		return netip.AddrPort{}, ""
	}
	return netip.AddrPortFrom(addr, 0), ""
}
