package admission

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var (
	localhost = []byte("127.0.0.1")
	someone   = []byte("ann@EXAMPLE.ORG")
)

const (
	first    = 100 * time.Millisecond
	longest  = 1600 * time.Millisecond
	memory   = time.Minute
	maxPeers = 1 << 14
)

func newPenalties() *Penalties {
	return &Penalties{First: first, Max: longest, Memory: memory, Peers: maxPeers}
}

// TestPenalties: each refusal of a peer is delayed longer, up to a bound, until the peer is
// forgotten or let in. Other peers have delays of their own.
func TestPenalties(t *testing.T) {
	p, now := newPenalties(), time.Now()
	refuse := func(address, principal string) time.Duration {
		return p.Refuse([]byte(address), []byte(principal), now)
	}
	var delays []time.Duration
	for range 7 {
		delays = append(delays, refuse("127.0.0.1", "ann@A"))
	}
	const ms = time.Millisecond
	want := []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 1600 * ms}
	if !slices.Equal(delays, want) {
		t.Errorf("%v, want %v", delays, want)
	}
	for _, other := range [][2]string{
		{"127.0.0.2", "ann@A"}, {"127.0.0.1", "bob@A"}, {"127.0.0.1ann@A", ""}, {"", "127.0.0.1ann@A"},
	} {
		if delay := refuse(other[0], other[1]); delay != 0 {
			t.Errorf("%q: the first refusal is delayed by %v", other, delay)
		}
	}
	now = now.Add(memory)
	if delay := refuse("127.0.0.1", "ann@A"); delay != longest {
		t.Errorf("forgotten too soon: %v", delay)
	}
	now = now.Add(memory + 1)
	if delay := refuse("127.0.0.1", "ann@A"); delay != 0 {
		t.Errorf("not forgotten: %v", delay)
	}
	if len(p.byKey) != 1 || p.order.Len() != 1 {
		t.Errorf("%d and %d peers are remembered, want 1", len(p.byKey), p.order.Len())
	}
	p.Accept(localhost, []byte("ann@A"))
	p.Accept(localhost, []byte("never refused@A"))
	if delay := refuse("127.0.0.1", "ann@A"); delay != 0 {
		t.Errorf("after an acceptance: %v", delay)
	}
}

// TestPenaltiesAreBounded: other clients cannot make the memory grow, and cannot have a client
// forgotten that goes on trying.
func TestPenaltiesAreBounded(t *testing.T) {
	p, now := newPenalties(), time.Now()
	refuseOthers := func(round, count int) {
		for i := range count {
			p.Refuse(localhost, fmt.Appendf(nil, "%d/%d@EXAMPLE.ORG", round, i), now)
		}
	}
	p.Refuse(localhost, someone, now)
	for round, want := range []time.Duration{first, 2 * first, 4 * first} {
		refuseOthers(round, maxPeers-1)
		if delay := p.Refuse(localhost, someone, now); delay != want {
			t.Errorf("round %d: %v, want %v", round, delay, want)
		}
	}
	if len(p.byKey) != maxPeers || p.order.Len() != maxPeers {
		t.Errorf("%d and %d peers are remembered, want %d", len(p.byKey), p.order.Len(), maxPeers)
	}
	refuseOthers(-1, maxPeers)
	if delay := p.Refuse(localhost, someone, now); delay != 0 {
		t.Errorf("the one refused longest ago is remembered: %v", delay)
	}
}
