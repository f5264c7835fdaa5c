package stream

import (
	"net"
	"slices"
	"time"
)

const (
	// backlogPerSlot is how many connections may wait for each handshake slot. A waiting connection
	// costs one descriptor.
	backlogPerSlot = 8
	// pollInterval is how often the backlog is checked for clients that have sent something.
	pollInterval = 5 * time.Millisecond
)

// arrive takes an accepted connection. It starts the handshake at once, or adds the connection to
// the backlog.
func (s *Server) arrive(v *serving, conn net.Conn) {
	c := &session{serving: v, raw: conn, network: network(conn.RemoteAddr()), accepted: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.isOverLocked(v) && len(s.waiting) >= backlogPerSlot*s.maxHandshakes() && !s.dropSilent() {
		s.await(pollInterval)
	}
	if s.isOverLocked(v) {
		_ = conn.Close()
		return
	}
	// The backlog goes first. But a client that has sent something overtakes silent ones.
	isBefore := func(other *session) bool { return other.spoken || !c.spoken }
	if c.hasSpoken(); s.mayStart(c) && !slices.ContainsFunc(s.waiting, isBefore) {
		if admitted, _ := s.admit(c); admitted {
			return
		}
	}
	s.waiting = append(s.waiting, c)
	if !s.admitting {
		s.admitting = true
		go s.admitBacklog()
	}
}

// admitBacklog is the goroutine that admits clients from the backlog. It ends when the backlog is
// empty.
func (s *Server) admitBacklog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var polled time.Time
	for len(s.waiting) > 0 {
		if time.Since(polled) >= pollInterval {
			polled = time.Now()
			for _, c := range s.waiting {
				c.hasSpoken()
			}
		}
		s.await(s.admitAll())
	}
	s.admitting = false
	s.notify()
}

// admitAll admits as many waiting clients as it can. It returns the time after which to try again;
// 0 means at the next change. The caller holds the mutex.
func (s *Server) admitAll() (again time.Duration) {
	if s.isFull() {
		return 0
	}
	for {
		i := s.next()
		if i < 0 {
			return pollInterval
		}
		if admitted, wait := s.admit(s.waiting[i]); !admitted {
			return min(pollInterval, max(wait, time.Millisecond))
		}
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
}

// next returns the index of the waiting client to admit next, or -1 if there is none. A client that
// has sent something goes before a silent one. After that, the client whose network has the fewest
// handshakes goes first, so that a crowd from one address does not delay others. After that, the
// one that came first goes first. The caller holds the mutex.
func (s *Server) next() int {
	best, fewest := -1, 0
	for i, c := range s.waiting {
		if best >= 0 && s.waiting[best].spoken && !c.spoken || !s.mayStart(c) {
			continue
		}
		n := len(s.pending.networks[c.network])
		if best < 0 || c.spoken && !s.waiting[best].spoken || n < fewest {
			best, fewest = i, n
		}
	}
	return best
}

// mayStart reports whether c may take a free slot. A silent client may not while half of the slots
// or more are taken, until it has had the time to send its first packet: it would block a slot that
// others can use. The caller holds the mutex.
func (s *Server) mayStart(c *session) bool {
	if c.spoken || 2*s.pending.count < s.maxHandshakes() {
		return true
	}
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
		if wait := s.evict(); wait > 0 {
			return false, wait
		}
	}
	s.start(c)
	return true, 0
}

// evict abandons one handshake to free its slot, and returns 0. If all handshakes are still
// protected, it returns the time after which to try again. The caller holds the mutex.
func (s *Server) evict() (wait time.Duration) {
	c, wait := s.pending.victim(time.Now(), s.handshakeTimeout())
	if c == nil {
		return max(wait, time.Millisecond)
	}
	s.abandon(c, errEvicted)
	return 0
}

// dropSilent closes the oldest waiting client that is silent although it has had the time to send
// something. It returns false if there is none. The caller holds the mutex.
func (s *Server) dropSilent() bool {
	for i, c := range s.waiting {
		if time.Since(c.accepted) < s.handshakeTimeout()/silentShare {
			return false // the others are younger still
		}
		if !c.hasSpoken() {
			s.waiting = slices.Delete(s.waiting, i, i+1)
			s.drop(c, errEvicted)
			return true
		}
	}
	return false
}

// dropWaiting closes the waiting clients of one listener. The caller holds the mutex.
func (s *Server) dropWaiting(v *serving, why error) {
	s.waiting = slices.DeleteFunc(s.waiting, func(c *session) bool {
		if c.serving == v {
			s.drop(c, why)
		}
		return c.serving == v
	})
}

// drop closes a client that was removed from the backlog. It runs in a goroutine, so that a slow
// logger delays nobody. The caller holds the mutex.
func (s *Server) drop(c *session, why error) {
	c.state = over
	s.dropping++
	go func() {
		_ = c.raw.Close()
		s.logRefused(c, why)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropping--
		s.notify()
	}()
}

// freeDescriptor closes a client so that Accept can succeed again, and reports whether there was
// one to close. Silent and slow clients are the likely reason that the descriptors are used up.
func (s *Server) freeDescriptor() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropSilent() || s.pending.count > 0 && s.evict() == 0
}
