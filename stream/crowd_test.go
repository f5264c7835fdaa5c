package stream

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestSlowCrowd: thousands of connections of one address send six bytes, wait, and come back when
// they are closed. They hardly delay the clients of another address, for which a slot is taken from
// the crowd. If they were served in turn, each would wait for 15 s.
func TestSlowCrowd(t *testing.T) {
	const strangers = 5000
	s, address, client := tlsServer(t, nil)
	flood(t, address, strangers, "\x16\x03\x01\x02\x00\x01")
	testpeer.Eventually(t, "the crowd has filled the backlog", func() bool {
		return s.counts().waiting == s.maxBacklog()
	})
	config, err := client.config(address)
	must.OK(t, err)
	var waits []time.Duration
	for range 11 {
		begun := time.Now()
		must.OK(t, exchange(tls.Client(dialFrom(t, "127.0.0.2", address), config), "hello"))
		waits = append(waits, time.Since(begun))
	}
	slices.Sort(waits)
	if waits[len(waits)/2] > 1500*time.Millisecond {
		t.Errorf("clients of another address waited %v", waits)
	}
}

// TestCrowdAndManyOthers: clients of many addresses, which come all at once, are let in while a
// crowd of one address has all slots. None of them has to come twice.
func TestCrowdAndManyOthers(t *testing.T) {
	const handshakes, strangers, clients = 4, 40, 100
	s, address, client := tlsServer(t, func(s *Server) {
		s.MaxHandshakes, s.HandshakeTimeout = handshakes, 4*patience
	})
	flood(t, address, strangers, "\x16\x03\x01\x02\x00\x01")
	testpeer.Eventually(t, "the crowd has all slots", func() bool {
		return s.counts().pending == handshakes
	})
	config, err := client.config(address)
	must.OK(t, err)
	var group sync.WaitGroup
	for i := range clients {
		conn := dialFrom(t, fmt.Sprintf("127.0.1.%d", i+1), address)
		group.Go(func() {
			if err := exchange(tls.Client(conn, config), "hello"); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	group.Wait()
}

// TestMakeRoom: who is closed for a newcomer when the backlog is full.
func TestMakeRoom(t *testing.T) {
	const grace = time.Second
	type client struct {
		network string
		age     time.Duration
		spoken  bool
	}
	for name, c := range map[string]struct {
		waiting  []client
		newcomer string
		closed   int // of waiting; -1: none, -2: the newcomer
	}{
		"of the busiest": {[]client{{"10.0.0.1/32", 3 * grace, true}, {"10.0.0.2/32", 2 * grace, true},
			{"10.0.0.2/32", grace, false}}, "10.0.0.3/32", 1},
		"of the busiest, silent": {[]client{{"10.0.0.2/32", grace / 4, true},
			{"10.0.0.2/32", grace / 2, false}}, "10.0.0.3/32", 1},
		"the newcomer": {[]client{{"10.0.0.2/32", 3 * grace, true}, {"10.0.0.2/32", 2 * grace, true}},
			"10.0.0.2/32", -2},
		"the newcomer, as many": {[]client{{"10.0.0.2/32", 3 * grace, true},
			{"10.0.0.2/32", 2 * grace, true}, {"10.0.0.1/32", 0, true}}, "10.0.0.1/32", -2},
		"a silent one of its own": {[]client{{"10.0.0.1/32", 3 * grace, true},
			{"10.0.0.1/32", 2 * grace, false}}, "10.0.0.1/32", 1},
		"not another's silent one": {[]client{{"10.0.0.3/32", 2 * grace, false},
			{"10.0.0.1/32", 3 * grace, true}, {"10.0.0.1/32", 2 * grace, true}}, "10.0.0.1/32", -2},
		"a silent one, if all have one": {[]client{{"10.0.0.1/32", 3 * grace, true},
			{"10.0.0.2/32", 2 * grace, false}}, "10.0.0.3/32", 1},
		"none, if all have one": {[]client{{"10.0.0.1/32", 3 * grace, true},
			{"10.0.0.2/32", grace / 4, false}}, "10.0.0.3/32", -1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{HandshakeTimeout: silentShare * grace, Logger: quiet()}
			s.init()
			waiter := func(c client) *session {
				here, there := net.Pipe()
				t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
				return &session{raw: here, network: prefixOf(c.network), spoken: c.spoken,
					accepted: time.Now().Add(-c.age)}
			}
			var all []*session
			for _, c := range c.waiting {
				all = append(all, waiter(c))
				s.waiting.add(all[len(all)-1], 0)
			}
			newcomer := waiter(client{c.newcomer, 0, true})
			s.mu.Lock()
			defer s.mu.Unlock()
			if room := s.makeRoom(newcomer); room != (c.closed != -2) {
				t.Errorf("room %v", room)
			}
			for i, waits := range all {
				if (waits.state == over) != (i == c.closed) {
					t.Errorf("client %d: closed %v", i, waits.state == over)
				}
			}
			if (newcomer.state == over) != (c.closed == -2) {
				t.Errorf("the newcomer: closed %v", newcomer.state == over)
			}
		})
	}
}

// TestBacklog: whatever is added, taken out and said, the lists have the same clients.
func TestBacklog(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var b backlog
	waiting := make(map[*session]bool)
	for range 20000 {
		var c *session // any of those that wait
		for c = range waiting {
			break
		}
		switch network := prefixOf(fmt.Sprintf("10.0.0.%d/32", random.IntN(9))); random.IntN(5) {
		case 0, 1:
			c = &session{network: network, spoken: random.IntN(2) == 0}
			b.add(c, random.IntN(5))
			waiting[c] = true
		case 2:
			if c != nil {
				b.remove(c)
				delete(waiting, c)
			}
		case 3:
			b.setHandshakes(network, random.IntN(5))
		case 4:
			if c != nil && !c.spoken {
				b.delist(c)
				c.spoken = true
				b.enlist(c)
			}
		}
		checkBacklog(t, &b, waiting)
	}
}

// checkBacklog compares a backlog with the clients that are in it.
func checkBacklog(t *testing.T, b *backlog, waiting map[*session]bool) {
	t.Helper()
	sizes, spoken := make(map[*crowd]int), 0
	for c := range waiting {
		sizes[c.crowd]++
		if c.spoken {
			spoken++
		}
	}
	most, fewest := 0, -1
	for c, n := range sizes {
		most = max(most, n)
		if c.spoken.Len() > 0 && (fewest < 0 || c.handshakes < fewest) {
			fewest = c.handshakes
		}
		if c.size() != n || (c.turn != nil) != (c.silent.Len() > 0) {
			t.Fatalf("a crowd of %d has %d", n, c.size())
		}
	}
	if b.size != len(waiting) || b.spoken != spoken || b.quiet.Len() != len(waiting)-spoken ||
		len(b.crowds) != len(sizes) || len(b.all()) != len(waiting) {
		t.Fatalf("%d wait, %d in the backlog", len(waiting), b.size)
	}
	if most > 0 && b.busiest().size() != most {
		t.Fatalf("the busiest has %d, %d is the most", b.busiest().size(), most)
	}
	if next := b.speaker(); (next != nil) != (spoken > 0) ||
		next != nil && (!next.spoken || next.crowd.handshakes != fewest) {
		t.Fatal("the next one is another")
	}
}

// BenchmarkBacklog: what one client more costs does not depend on how many wait.
func BenchmarkBacklog(b *testing.B) {
	for _, n := range []int{100, 10000} {
		for what, addresses := range map[string]int{"one address": 1, "many addresses": n} {
			b.Run(fmt.Sprintf("%d of %s", n, what), func(b *testing.B) {
				var l backlog
				client := func(i int) *session {
					network := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
					return &session{network: network, spoken: true}
				}
				for i := range n {
					l.add(client(i%addresses), 0)
				}
				for i := 0; b.Loop(); i++ {
					l.add(client(i%(addresses+1)), 0)
					l.setHandshakes(client(0).network, i%2)
					l.remove(l.busiest().oldest())
					_ = l.speaker()
				}
			})
		}
	}
}
