package session

import (
	"math/rand/v2"
	"testing"
)

// crowd is connections of which one has grown, and how often somebody asked whether one has.
type crowd struct {
	candidates
	conns []*conn
	grown *conn
	asked int
}

func newCrowd(count int) *crowd {
	c := new(crowd)
	for n := range count {
		c.conns = append(c.conns, new(conn))
		c.add(c.conns[n], n+1)
	}
	return c
}

func (c *crowd) hasGrown(of *conn) bool {
	c.asked++
	return of == c.grown
}

// decide has a connection grow, and looks until it is found. It returns how many looks that takes.
func (c *crowd) decide(t *testing.T, which *conn, thorough bool) (looks int) {
	t.Helper()
	for c.grown = which; looks < len(c.conns); {
		looks++
		if found := c.look(c.hasGrown, thorough); found == which {
			which.decided = true
			return looks
		} else if found != nil {
			t.Fatal("another one is found")
		}
	}
	t.Fatal("it is not found")
	return 0
}

// TestCandidatesInOrder: where connections are decided about in the order in which they came, few
// questions are asked, however many connections there are, and however many of them are silent.
func TestCandidatesInOrder(t *testing.T) {
	const count = 5000
	for name, silent := range map[string]func(n int) bool{
		"none":   func(int) bool { return false },
		"first":  func(n int) bool { return n < count/2 },
		"second": func(n int) bool { return n%2 == 0 },
	} {
		c := newCrowd(count)
		decided := 0
		for n, conn := range c.conns {
			if !silent(n) {
				c.decide(t, conn, true)
				decided++
			}
		}
		if limit := 3 * quickCount * decided; c.asked > limit {
			t.Errorf("silent: %s: %d questions for %d, more than %d", name, c.asked, decided, limit)
		}
	}
}

// TestCandidatesOutOfOrder: each is found within some thorough looks, whatever the order.
func TestCandidatesOutOfOrder(t *testing.T) {
	const count = 2000
	c := newCrowd(count)
	for _, n := range rand.Perm(count) {
		if looks := c.decide(t, c.conns[n], true); looks > count/thoroughCount+2 {
			t.Fatalf("%d looks", looks)
		}
	}
}

// TestCandidatesGoAway: connections that come and go without a reply take no memory.
func TestCandidatesGoAway(t *testing.T) {
	s := new(candidates)
	for range 100_000 {
		c := new(conn)
		s.add(c, 1)
		c.left = true
	}
	if count := len(s.likely) + len(s.unlikely); count > 2*quickCount+4 {
		t.Errorf("%d are kept", count)
	}
}

// TestCandidatesAll: a look at all finds all.
func TestCandidatesAll(t *testing.T) {
	c := newCrowd(1000)
	c.conns[3].decided, c.conns[5].left = true, true
	if got := c.lookAtAll(func(*conn) bool { return true }); len(got) != 998 {
		t.Errorf("%d", len(got))
	}
}
