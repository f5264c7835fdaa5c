package stream

import (
	"container/list"
	"net/netip"
)

// backlog is the connections that wait for a handshake slot. It has them by address, so that the
// cost of each method but all does not depend on how many wait. The zero value is empty.
type backlog struct {
	crowds map[netip.Prefix]*crowd
	size   int
	spoken int // how many have sent something

	bySize   ranking   // crowds by how many of theirs wait
	speaking ranking   // crowds of which one that has sent something waits, by handshakes in progress
	silent   ranking   // crowds of which a silent one waits, by handshakes in progress
	quiet    list.List // of *session: the silent ones of all crowds, the oldest first
	turns    list.List // of *crowd: those with a silent one, the one to be polled next first
}

// crowd is the waiting connections of one address.
type crowd struct {
	spoken     list.List     // of *session that have sent something, the first to do so first
	silent     list.List     // of *session, the oldest first
	polled     *list.Element // in silent: the one to be polled next; nil: the first
	handshakes int           // in progress

	bySize, speaking, quiet place
	turn                    *list.Element // in backlog.turns
}

// add adds a connection. handshakes is how many of its address are in progress.
func (b *backlog) add(c *session, handshakes int) {
	if b.crowds == nil {
		b.crowds = make(map[netip.Prefix]*crowd)
	}
	if b.crowds[c.network] == nil {
		b.crowds[c.network] = &crowd{handshakes: handshakes}
	}
	c.crowd = b.crowds[c.network]
	b.size++
	b.enlist(c)
}

// enlist adds a connection to the lists of those that have sent something, or of the silent ones.
func (b *backlog) enlist(c *session) {
	if c.spoken {
		b.spoken++
		c.waits = c.crowd.spoken.PushBack(c)
	} else {
		c.waits = c.crowd.silent.PushBack(c)
		c.quiet = b.quiet.PushBack(c)
	}
	b.rank(c.crowd)
}

// delist undoes enlist.
func (b *backlog) delist(c *session) {
	if c.quiet == nil {
		b.spoken--
		c.crowd.spoken.Remove(c.waits)
	} else {
		if c.crowd.polled == c.waits {
			c.crowd.polled = c.waits.Next()
		}
		c.crowd.silent.Remove(c.waits)
		b.quiet.Remove(c.quiet)
	}
	c.waits, c.quiet = nil, nil
}

// remove takes a connection out.
func (b *backlog) remove(c *session) {
	b.delist(c)
	b.size--
	b.rank(c.crowd)
	if c.crowd.size() == 0 {
		delete(b.crowds, c.network)
	}
	c.crowd = nil
	if b.size == 0 {
		*b = backlog{} // a map never shrinks
	}
}

// rank keeps a crowd in its places.
func (b *backlog) rank(c *crowd) {
	among := func(n int, rank int) int {
		if n == 0 {
			return -1
		}
		return rank
	}
	b.bySize.put(c, &c.bySize, among(c.size(), c.size()))
	b.speaking.put(c, &c.speaking, among(c.spoken.Len(), c.handshakes))
	b.silent.put(c, &c.quiet, among(c.silent.Len(), c.handshakes))
	switch {
	case c.silent.Len() > 0 && c.turn == nil:
		c.turn = b.turns.PushBack(c)
	case c.silent.Len() == 0 && c.turn != nil:
		b.turns.Remove(c.turn)
		c.turn = nil
	}
}

// setHandshakes tells how many handshakes of an address are in progress now.
func (b *backlog) setHandshakes(network netip.Prefix, handshakes int) {
	if c := b.crowds[network]; c != nil {
		c.handshakes = handshakes
		b.rank(c)
	}
}

// poll looks whether silent connections have sent something, n of them at most. Addresses take
// turns.
func (b *backlog) poll(n int) {
	for range min(n, b.quiet.Len()) {
		front := b.turns.Front()
		if front == nil {
			return
		}
		b.turns.MoveToBack(front)
		crowd := front.Value.(*crowd)
		if crowd.polled == nil {
			crowd.polled = crowd.silent.Front()
		}
		c := crowd.polled.Value.(*session)
		crowd.polled = crowd.polled.Next()
		if c.hasSpoken() {
			b.delist(c)
			b.enlist(c)
		}
	}
}

// waiting returns how many of an address wait.
func (b *backlog) waiting(network netip.Prefix) int {
	if c := b.crowds[network]; c != nil {
		return c.size()
	}
	return 0
}

// busiest returns the crowd of which most wait; nil: nobody waits.
func (b *backlog) busiest() *crowd { return b.bySize.highest() }

// speaker returns the one to be admitted next of those that have sent something; nil: there is
// none. The address with the fewest handshakes goes first.
func (b *backlog) speaker() *session {
	c := b.speaking.lowest()
	if c == nil {
		return nil
	}
	return first(&c.spoken)
}

// silentOne returns the one to be admitted next of those that are silent and may start; nil: there
// is none. The address with the fewest handshakes goes first, if its oldest one may start.
func (b *backlog) silentOne(mayStart func(*session) bool) *session {
	oldest := first(&b.quiet)
	if oldest == nil || !mayStart(oldest) { // the others are younger still
		return nil
	}
	if c := first(&b.silent.lowest().silent); mayStart(c) {
		return c
	}
	return oldest
}

// all returns all connections.
func (b *backlog) all() (all []*session) {
	for _, c := range b.crowds {
		for _, l := range []*list.List{&c.spoken, &c.silent} {
			for e := l.Front(); e != nil; e = e.Next() {
				all = append(all, e.Value.(*session))
			}
		}
	}
	return all
}

// size returns how many of the address wait.
func (c *crowd) size() int { return c.spoken.Len() + c.silent.Len() }

// oldest returns the connection that was accepted first.
func (c *crowd) oldest() *session {
	spoken, silent := first(&c.spoken), first(&c.silent)
	if spoken == nil || silent != nil && silent.accepted.Before(spoken.accepted) {
		return silent
	}
	return spoken
}

// first returns the first connection of a list; nil: there is none.
func first(l *list.List) *session {
	if e := l.Front(); e != nil {
		return e.Value.(*session)
	}
	return nil
}
