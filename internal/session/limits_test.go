package session

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
)

// bench tries connections on a limiter, by a clock of its own.
type bench struct {
	*testing.T
	*limiter
	now time.Time
}

func newBench(t *testing.T, l Limits) *bench {
	return &bench{T: t, limiter: newLimiter(l), now: time.Unix(1_000_000, 0)}
}

// open opens a connection, and checks why it may not stay; "": it may.
func (b *bench) open(addr, want string) *conn {
	b.Helper()
	c := &conn{origin: tcpOrigin(netip.MustParseAddr(addr), 1), since: b.now,
		lane: &lane{limit: beforeReply(mechanismCurve)}}
	if reason := b.admit(c, b.now); reason != want {
		b.Errorf("a connection from %s: %q, want %q", addr, reason, want)
	}
	return c
}

// fails opens a connection whose handshake fails, and closes it.
func (b *bench) fails(addr string) {
	b.Helper()
	c := b.open(addr, "")
	c.decided = true
	b.fail(c, b.now)
	b.leave(c, b.now)
}

func (b *bench) pass(d time.Duration) { b.now = b.now.Add(d) }

func TestMaxConns(t *testing.T) {
	b := newBench(t, Limits{MaxConns: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	first := b.open("192.0.2.1", "")
	b.open("10.0.0.1", "")
	b.open("192.0.2.2", TooMany)
	b.open("10.0.0.2", TooMany) // for exempt ones, too
	b.leave(first, b.now)
	b.open("192.0.2.2", "")
}

func TestPerAddress(t *testing.T) {
	b := newBench(t, Limits{PerAddress: 2, Exempt: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:9::/48")}})
	for _, addrs := range [][3]string{
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:1::"}, // one /64
	} {
		first := b.open(addrs[0], "")
		b.open(addrs[1], "")
		b.open(addrs[2], TooManyOfOne)
		b.leave(first, b.now)
		b.open(addrs[2], "")
	}
	b.open("192.0.2.2", "")
	b.open("2001:db8:0:1::1", "") // another /64
	for range 5 {
		b.open("10.0.0.1", "")
		b.open("2001:db8:9::1", "")
	}
}

func TestRate(t *testing.T) {
	b := newBench(t, Limits{Rate: 2, Burst: 3})
	for range 3 {
		b.open("192.0.2.1", "")
	}
	b.open("192.0.2.1", TooFast)
	b.open("192.0.2.2", "")
	b.pass(500 * time.Millisecond)
	b.open("192.0.2.1", "")
	b.open("192.0.2.1", TooFast)
	b.pass(time.Hour)
	for range 3 { // and no more than the burst
		b.open("192.0.2.1", "")
	}
	b.open("192.0.2.1", TooFast)

	b = newBench(t, Limits{Rate: 1}) // a burst of one
	b.open("192.0.2.1", "")
	b.open("192.0.2.1", TooFast)
}

// TestPenalty: the first failure costs nothing, the second the penalty, and each further one twice
// as much, up to the ceiling; a success, or a long time without failures, ends that.
func TestPenalty(t *testing.T) {
	const penalty = time.Second
	b := newBench(t, Limits{Penalty: penalty})
	wait := func(d time.Duration) {
		t.Helper()
		b.pass(d - time.Millisecond)
		b.open("192.0.2.1", IsPenalised)
		b.pass(time.Millisecond)
	}
	b.fails("192.0.2.1")
	b.fails("192.0.2.1")
	for _, times := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64} {
		wait(times * penalty)
		b.fails("192.0.2.1")
	}
	b.fails("192.0.2.2") // who has done nothing

	b.pass(penaltyMemory*penaltyCeiling*penalty + 1)
	b.fails("192.0.2.1") // the first one again
	b.fails("192.0.2.1")
	wait(penalty)
	good := b.open("192.0.2.1", "")
	good.decided = true
	b.succeed(good)
	b.leave(good, b.now)
	b.fails("192.0.2.1")
	b.open("192.0.2.1", "")
}

// TestSilenceIsAFailure: a connection that ends without a reply counts as one that was refused.
func TestSilenceIsAFailure(t *testing.T) {
	b := newBench(t, Limits{Penalty: time.Second})
	for range 2 {
		b.leave(b.open("192.0.2.1", ""), b.now)
	}
	b.open("192.0.2.1", IsPenalised)
}

// TestGoodOnesAreSpared: an address that somebody good has is not penalised while there is room.
func TestGoodOnesAreSpared(t *testing.T) {
	b := newBench(t, Limits{Penalty: time.Hour, MaxConns: 8})
	good := b.open("192.0.2.1", "")
	good.decided = true
	b.succeed(good)
	for range 5 {
		b.fails("192.0.2.1")
	}
	var others []*conn
	for n := range 3 { // half of the room is used
		others = append(others, b.open(fmt.Sprintf("192.0.2.%d", 10+n), ""))
	}
	b.open("192.0.2.1", IsPenalised)
	b.leave(others[0], b.now)
	b.open("192.0.2.1", "")
	b.leave(good, b.now)
	b.open("192.0.2.1", IsPenalised) // nobody good is left
}

func TestDeadline(t *testing.T) {
	b := newBench(t, Limits{Deadline: 2 * time.Second})
	slow, decided := b.open("192.0.2.1", ""), b.open("192.0.2.1", "")
	decided.decided = true
	ipc := b.open("192.0.2.1", "")
	ipc.lane = &lane{} // on which no reply can be seen
	b.pass(2*time.Second - 1)
	if b.isOverdue(slow, b.now) {
		t.Error("too early")
	}
	b.pass(1)
	if !b.isOverdue(slow, b.now) || b.isOverdue(decided, b.now) || b.isOverdue(ipc, b.now) {
		t.Error("not at its time, or another one")
	}
}

// TestLimitsForget: of addresses without connections the limits know a bounded number; the one seen
// TestExemptDeadline: an exempt address may take its time.
func TestExemptDeadline(t *testing.T) {
	b := newBench(t, Limits{Deadline: time.Second,
		Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	exempt, other := b.open("10.0.0.1", ""), b.open("11.0.0.1", "")
	late := b.now.Add(time.Minute)
	if b.isOverdue(exempt, late) || !b.isOverdue(other, late) {
		t.Errorf("overdue: exempt %t, other %t", b.isOverdue(exempt, late), b.isOverdue(other, late))
	}
}

// longest ago is forgotten first. One with a connection is not forgotten.
func TestLimitsForget(t *testing.T) {
	b := newBench(t, Limits{PerAddress: 1, Penalty: time.Hour})
	b.open("192.0.2.1", "")
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxClients + 10 {
		addr = addr.Next()
		b.leave(b.open(addr.String(), ""), b.now) // one failure
	}
	if len(b.clients) != maxClients+1 || b.idle.Len() != maxClients {
		t.Errorf("%d addresses, %d of them idle", len(b.clients), b.idle.Len())
	}
	b.open("192.0.2.1", TooManyOfOne)
	b.leave(b.open(addr.String(), ""), b.now) // its second failure
	b.open(addr.String(), IsPenalised)
	b.leave(b.open("10.0.0.1", ""), b.now) // forgotten: its first one
	b.open("10.0.0.1", "")
}

// TestTally: of each reason the first refusal is logged, and then sums.
func TestTally(t *testing.T) {
	var tally Tally
	now := time.Unix(1_000_000, 0)
	note := func(reason string, want int) {
		t.Helper()
		if got := tally.Note(Refusal{Reason: reason}, now); got != want {
			t.Errorf("%s: %d, want %d", reason, got, want)
		}
	}
	note(TooFast, 1)
	for range 99 {
		note(TooFast, 0)
	}
	note(TooMany, 1)
	now = now.Add(2 * time.Minute)
	note(TooFast, 100)
	if tally.Total() != 102 {
		t.Errorf("%d in all", tally.Total())
	}
}

func TestNearLimit(t *testing.T) {
	limit := descriptorLimit()
	if isNearLimit(3) || !isNearLimit(int(limit)-1) || !isNearLimit(int(limit)-minHeadroom) {
		t.Errorf("of %d descriptors", limit)
	}
}

// TestTryAgainIsNoFailure: who was told to try again has not failed, whatever number of times.
func TestTryAgainIsNoFailure(t *testing.T) {
	table, _ := newTable(t, 0, always)
	table.Close() // whatever it looks for, the test looks for
	s := table.Guard("d", mechanismPlain, &Limits{Penalty: time.Hour})
	come := func(told bool) {
		fd := accepted(t)
		s.Tell(zmq4.EVENT_ACCEPTED, fd, "")
		if told {
			r := &Reply{Domain: "d", Mechanism: mechanismPlain, Address: "127.0.0.1", Silent: true,
				Send: func() {}}
			table.Offer(r)
			table.Sent(r, false)
		}
		end(t, s, fd)
	}
	for range 5 {
		come(true)
	}
	come(false) // the first failure is free
	come(false)
	if refused := table.Refused(); refused > 0 {
		t.Errorf("%d were refused", refused)
	}
	come(false)
	if table.Refused() != 1 {
		t.Error("failures do not count")
	}
}
