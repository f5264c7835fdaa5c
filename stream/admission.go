package stream

import (
	"net"
	"net/netip"
	"time"
)

const (
	// backlogPerSlot is how many connections may wait for each handshake slot. A waiting connection
	// costs one descriptor.
	backlogPerSlot = 32
	// minBacklog is how many connections may wait however few slots there are.
	minBacklog = 1024
	// pollInterval is how often the backlog is checked for clients that have sent something.
	pollInterval = 5 * time.Millisecond
	// pollBatch is how many clients of the backlog are checked at once. The addresses take turns, so
	// that a crowd of silent clients does not delay another address.
	pollBatch = 128
	// freeShare is the divisor for the part of the backlog that is closed where descriptors lack.
	freeShare = 8
)

// arrive takes an accepted connection. It starts the handshake at once, or adds the connection to
// the backlog.
func (s *Server) arrive(v *serving, conn net.Conn) {
	c := &session{serving: v, raw: conn, network: network(conn.RemoteAddr()), accepted: time.Now()}
	c.hasSpoken()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.isOverLocked(v) && s.waiting.size >= s.maxBacklog() {
		if !s.makeRoom(c) {
			return
		}
	}
	if s.isOverLocked(v) {
		_ = conn.Close()
		return
	}
	// The backlog goes first. But a client that has sent something overtakes silent ones.
	isFirst := s.waiting.spoken == 0 && (c.spoken || s.waiting.size == 0)
	if isFirst && s.mayStart(c) {
		if admitted, _ := s.admit(c); admitted {
			return
		}
	}
	s.waiting.add(c, s.pending.of(c.network))
	if !s.admitting {
		s.admitting = true
		go s.admitBacklog()
	} else if c.spoken && c.crowd.spoken.Len() == 1 {
		s.wakeAdmission() // its address may be less busy than the others that wait
	}
}

// makeRoom closes a connection of the full backlog for the newcomer c. It closes c and returns
// false if no other has to yield. The caller holds the mutex.
//
// The oldest connection of the busiest address yields to one of an address that is less busy.
// Otherwise a silent connection of c's own address yields, if it has had the time to send
// something. If no address has two connections, that may be one of any address, and c waits until
// there is room: nobody is behind c who has a better claim.
func (s *Server) makeRoom(c *session) bool {
	busiest, own := s.waiting.busiest(), s.waiting.waiting(c.network)
	if busiest.size() >= own+2 {
		s.dropWaiting(busiest.oldest(), errEvicted)
		return true
	}
	if busiest.size() == 1 {
		if silent := first(&s.waiting.quiet); silent != nil && s.isOverdue(silent) {
			s.dropWaiting(silent, errEvicted)
		} else {
			s.await(pollInterval)
		}
		return true
	}
	if crowd := s.waiting.crowds[c.network]; crowd != nil {
		if silent := first(&crowd.silent); silent != nil && s.isOverdue(silent) {
			s.dropWaiting(silent, errEvicted)
			return true
		}
	}
	s.drop(c, errEvicted)
	return false
}

// admitBacklog is the goroutine that admits clients from the backlog. It ends when the backlog is
// empty.
func (s *Server) admitBacklog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	var polled time.Time
	for s.waiting.size > 0 {
		if time.Since(polled) >= pollInterval {
			polled = time.Now()
			s.waiting.poll(pollBatch)
		}
		if again := s.admitAll(); again > 0 {
			timer.Reset(again)
		} else {
			timer.Stop()
		}
		s.mu.Unlock()
		select {
		case <-s.admission:
		case <-timer.C:
		}
		s.mu.Lock()
	}
	s.admitting = false
	s.notify()
}

// wakeAdmission has admitBacklog look again. The caller holds the mutex.
func (s *Server) wakeAdmission() {
	select {
	case s.admission <- struct{}{}:
	default:
	}
}

// admitAll admits as many waiting clients as it can. It returns the time after which to try again;
// 0 means at the next change. The caller holds the mutex.
func (s *Server) admitAll() (again time.Duration) {
	if s.isFull() {
		return 0
	}
	for {
		c := s.next()
		if c == nil {
			return pollInterval
		}
		if admitted, wait := s.admit(c); !admitted {
			return min(pollInterval, max(wait, time.Millisecond))
		}
	}
}

// next returns the waiting client to admit next; nil: there is none. A client that has sent
// something goes before a silent one. After that, the client whose network has the fewest
// handshakes goes first, so that a crowd from one address does not delay others. After that,
// addresses take turns, and of one address the one that came first goes first. The caller holds
// the mutex.
func (s *Server) next() *session {
	if c := s.waiting.speaker(); c != nil {
		return c
	}
	return s.waiting.silentOne(s.mayStart)
}

// mayStart reports whether c may take a free slot. A silent client may not while half of the slots
// or more are taken, until it has had the time to send its first packet: it would block a slot that
// others can use. The caller holds the mutex.
func (s *Server) mayStart(c *session) bool {
	return c.spoken || 2*s.pending.count < s.maxHandshakes() || s.isOverdue(c)
}

// isOverdue reports whether c has had the time to send its first packet.
func (s *Server) isOverdue(c *session) bool {
	return time.Since(c.accepted) >= s.handshakeTimeout()/silentShare
}

// admit starts the handshake of c if there is a free slot, or if another handshake can be evicted.
// Otherwise it returns the time after which there may be a slot. The caller holds the mutex.
func (s *Server) admit(c *session) (admitted bool, wait time.Duration) {
	most := s.maxHandshakes()
	if s.isFull() || s.pending.count+s.abandoned >= 2*most {
		return false, pollInterval
	}
	if s.pending.count >= most {
		if wait := s.evict(c.network); wait > 0 {
			return false, wait
		}
	}
	if c.crowd != nil {
		s.waiting.remove(c)
	}
	s.start(c)
	return true, 0
}

// evict abandons one handshake to free its slot for a newcomer, and returns 0. If all handshakes
// are still protected, it returns the time after which to try again. The caller holds the mutex.
func (s *Server) evict(newcomer netip.Prefix) (wait time.Duration) {
	c, wait := s.pending.victim(newcomer, time.Now(), s.handshakeTimeout())
	if c == nil {
		return max(wait, time.Millisecond)
	}
	s.abandon(c, errEvicted)
	return 0
}

// dropWaiting closes a client of the backlog. The caller holds the mutex.
func (s *Server) dropWaiting(c *session, why error) {
	s.waiting.remove(c)
	s.drop(c, why)
}

// dropAll closes the waiting clients of one listener. The caller holds the mutex.
func (s *Server) dropAll(v *serving, why error) {
	for _, c := range s.waiting.all() {
		if c.serving == v {
			s.dropWaiting(c, why)
		}
	}
}

// drop closes a client that is not in the backlog, or not any more. It runs in a goroutine, so that
// a slow logger delays nobody. The caller holds the mutex.
func (s *Server) drop(c *session, why error) {
	c.state = over
	s.dropping++
	go func() {
		_ = c.raw.Close()
		s.logRefused(c, why)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropping--
		s.checkDrained() // nobody waits for anything else of it
	}()
}

// freeDescriptors closes clients so that Accept can succeed again, and reports whether there were
// any to close. It begins with the busiest addresses: their silent and slow clients are the likely
// reason that the descriptors are used up.
func (s *Server) freeDescriptors() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting.size == 0 {
		return s.pending.count > 0 && s.evict(netip.Prefix{}) == 0
	}
	for range max(1, s.waiting.size/freeShare) {
		s.dropWaiting(s.waiting.busiest().oldest(), errEvicted)
	}
	return true
}

// maxBacklog returns how many connections may wait.
func (s *Server) maxBacklog() int { return max(minBacklog, backlogPerSlot*s.maxHandshakes()) }
