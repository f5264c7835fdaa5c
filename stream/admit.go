package stream

import (
	"net"
	"slices"
	"time"
)

const (
	// waitingShare is how many connections may wait for a place, for each place. They cost a
	// descriptor each.
	waitingShare = 8
	// lookInterval is how often those that wait are looked at, whether they have sent something.
	lookInterval = 5 * time.Millisecond
)

// arrive takes in a connection that was accepted: it gets a place, or waits for one.
func (s *Server) arrive(v *serving, conn net.Conn) {
	c := &session{serving: v, raw: conn, network: network(conn.RemoteAddr()), accepted: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.isOverLocked(v) && len(s.waiting) >= waitingShare*s.maxHandshakes() && !s.dropSilent() {
		s.await(lookInterval)
	}
	if s.isOverLocked(v) {
		_ = conn.Close()
		return
	}
	// Those that have waited go first, but for the silent when this one is not.
	isBefore := func(other *session) bool { return other.spoken || !c.spoken }
	if c.hasSpoken(); s.mayStart(c) && !slices.ContainsFunc(s.waiting, isBefore) {
		if seated, _ := s.seat(c); seated {
			return
		}
	}
	s.waiting = append(s.waiting, c)
	if !s.ushering {
		s.ushering = true
		go s.usher()
	}
}

// usher is the goroutine that finds places for those who wait, as long as there are any.
func (s *Server) usher() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var looked time.Time
	for len(s.waiting) > 0 {
		if time.Since(looked) >= lookInterval {
			looked = time.Now()
			for _, c := range s.waiting {
				c.hasSpoken()
			}
		}
		s.await(s.seatAll())
	}
	s.ushering = false
	s.notify()
}

// seatAll gives places to those who wait, and returns when to try again, 0 for when anything has
// changed. The caller holds the mutex.
func (s *Server) seatAll() (again time.Duration) {
	if s.isFull() {
		return 0
	}
	for {
		i := s.next()
		if i < 0 {
			return lookInterval
		}
		if seated, wait := s.seat(s.waiting[i]); !seated {
			return min(lookInterval, max(wait, time.Millisecond))
		}
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
}

// next is who of those that wait is to have the next place, -1 for nobody: one that has sent
// something, and of these one of the network with the fewest handshakes, so that a crowd from one
// address does not keep others waiting; the first of several. The caller holds the mutex.
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

// mayStart tells whether it is c's turn, if there is a place. One that is silent may be about to
// speak, and would only be in the way of others until then, if more than half of the places are
// taken. The caller holds the mutex.
func (s *Server) mayStart(c *session) bool {
	return c.spoken || 2*s.pending.count < s.maxHandshakes() || time.Since(c.accepted) >= s.handshakeTimeout()/silentShare
}

// seat begins a handshake if there is a place, or somebody who has to make room; else there may be
// one after wait. The caller holds the mutex.
func (s *Server) seat(c *session) (seated bool, wait time.Duration) {
	most := s.maxHandshakes()
	if s.isFull() || s.pending.count+s.abandoned >= 2*most {
		return false, lookInterval
	}
	if s.pending.count >= most {
		if wait := s.makeRoom(); wait > 0 {
			return false, wait
		}
	}
	s.start(c)
	return true, 0
}

// makeRoom gives up a handshake, and returns 0; or returns when to try again. The caller holds the
// mutex.
func (s *Server) makeRoom() (wait time.Duration) {
	c, wait := s.pending.victim(time.Now(), s.handshakeTimeout())
	if c == nil {
		return max(wait, time.Millisecond)
	}
	s.abandon(c, errCrowded)
	return 0
}

// dropSilent closes one of those who wait, the oldest that is silent although it has had the time
// to speak. The caller holds the mutex.
func (s *Server) dropSilent() bool {
	for i, c := range s.waiting {
		if time.Since(c.accepted) < s.handshakeTimeout()/silentShare {
			return false // and all that follow
		}
		if !c.hasSpoken() {
			s.waiting = slices.Delete(s.waiting, i, i+1)
			s.drop(c, errCrowded)
			return true
		}
	}
	return false
}

// dropWaiting closes those of one listener's who wait. The caller holds the mutex.
func (s *Server) dropWaiting(v *serving, why error) {
	s.waiting = slices.DeleteFunc(s.waiting, func(c *session) bool {
		if c.serving == v {
			s.drop(c, why)
		}
		return c.serving == v
	})
}

// drop closes a connection that has waited in vain. The logger is not waited for. The caller holds
// the mutex.
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

// relieve makes room for another Accept, if it can: silent and slow clients are what may have used
// up the descriptors.
func (s *Server) relieve() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropSilent() || s.pending.count > 0 && s.makeRoom() == 0
}
