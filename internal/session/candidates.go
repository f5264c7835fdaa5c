package session

// candidates are the connections of a lane that no reply is known to have been for. There may be
// thousands, and to ask about one takes a system call. libzmq serves them about in the order in
// which they have come, so the oldest are asked about first. Those that others overtake again and
// again, such as silent ones, come last.
type candidates struct {
	likely   []*conn // the oldest first
	unlikely []*conn
	next     int // of all, where the next look goes on after the oldest
}

const (
	// quickCount is how many of the oldest a look asks about.
	quickCount = 32
	// nextCount is how many a quick look asks about besides, after the one that was found last,
	// thoroughCount how many a thorough one does.
	nextCount     = 8
	thoroughCount = 512
	// overtakenCount is how often others overtake a connection until it is an unlikely one.
	overtakenCount = 8
)

// add adds a connection that has come. open is how many there are in the lane.
func (s *candidates) add(c *conn, open int) {
	if s.count() > 2*open+quickCount {
		s.likely, s.unlikely = current(s.likely), current(s.unlikely)
	}
	s.likely = append(s.likely, c)
}

// current are those that still are candidates.
func current(all []*conn) (kept []*conn) {
	for _, c := range all {
		if c.isCandidate() {
			kept = append(kept, c)
		}
	}
	return kept
}

func (c *conn) isCandidate() bool { return !c.decided && !c.left }

// look returns the one that has grown, or nil. It is a quick one, or a thorough one, which finds
// each connection within some calls.
func (s *candidates) look(hasGrown func(*conn) bool, thorough bool) *conn {
	oldest := s.oldest()
	grown := first(oldest, hasGrown)
	if grown == nil {
		count := nextCount
		if thorough {
			count = thoroughCount
		}
		grown = s.lookAtNext(hasGrown, count)
	}
	if grown != nil {
		s.overtake(oldest, grown)
	}
	return grown
}

// oldest takes those out of the oldest that are no candidates any more, and returns the others.
func (s *candidates) oldest() []*conn {
	var kept [quickCount]*conn
	count, seen := 0, 0
	for ; seen < len(s.likely) && count < quickCount; seen++ {
		if c := s.likely[seen]; c.isCandidate() {
			kept[count] = c
			count++
		}
	}
	s.drop(seen - count)
	copy(s.likely, kept[:count])
	return s.likely[:count]
}

// drop drops so many of the oldest.
func (s *candidates) drop(count int) {
	s.likely = s.likely[count:]
	s.next = max(s.next-count, 0)
}

func first(all []*conn, hasGrown func(*conn) bool) *conn {
	for _, c := range all {
		if hasGrown(c) {
			return c
		}
	}
	return nil
}

// count is how many there are, about.
func (s *candidates) count() int { return len(s.likely) + len(s.unlikely) }

// lookAtNext looks at so many, behind those that were looked at last.
func (s *candidates) lookAtNext(hasGrown func(*conn) bool, count int) *conn {
	for range min(count, s.count()) {
		from, i := s.likely, s.next
		if i >= len(s.likely) {
			from, i = s.unlikely, i-len(s.likely)
		}
		if i >= len(from) {
			s.next = 0
			continue
		}
		s.next++
		if c := from[i]; c.isCandidate() && hasGrown(c) {
			return c
		}
	}
	return nil
}

// overtake notes that one was found before the oldest, and makes those unlikely to which that
// happens again and again.
func (s *candidates) overtake(oldest []*conn, grown *conn) {
	for _, c := range oldest {
		if c == grown {
			break
		}
		c.overtaken++
	}
	for len(s.likely) > 0 && s.likely[0].overtaken >= overtakenCount {
		s.unlikely = append(s.unlikely, s.likely[0])
		s.drop(1)
	}
}

// lookAtAll returns all that have grown.
func (s *candidates) lookAtAll(hasGrown func(*conn) bool) (grown []*conn) {
	for _, all := range [][]*conn{s.likely, s.unlikely} {
		for _, c := range all {
			if c.isCandidate() && hasGrown(c) {
				grown = append(grown, c)
			}
		}
	}
	return grown
}
