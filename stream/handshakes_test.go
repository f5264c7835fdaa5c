package stream

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestVictim: which handshake is evicted.
func TestVictim(t *testing.T) {
	const timeout = 10 * time.Second // 50 ms for the silent, 500 ms for the others
	l := newListener(t)
	accept := func() net.Conn {
		dialTCP(t, l.Addr().String())
		conn, err := l.Accept()
		must.OK(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	silent := accept()
	now := time.Now()
	type client struct {
		network string
		age     time.Duration
		spoken  bool
	}
	const one, two, other = "10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"
	for name, c := range map[string]struct {
		clients  []client // the oldest first
		newcomer string
		victim   int // -1: none
		wait     time.Duration
	}{
		"the oldest silent one": {[]client{{one, time.Second, false},
			{one, time.Second / 2, false}}, one, 0, 0},
		"silent before slow": {[]client{{one, time.Second, true},
			{one, time.Second / 10, false}}, one, 1, 0},
		"the oldest slow one": {[]client{{one, 2 * time.Second, true},
			{one, time.Second, true}}, one, 0, 0},
		"of the largest crowd": {[]client{{one, 9 * time.Second, false},
			{two, time.Second, true}, {two, time.Second, true}}, two, 1, 0},
		"of the older crowd of two": {[]client{{one, time.Second, true},
			{two, time.Second / 2, false}}, one, 0, 0},
		"of another crowd, if that is safe": {[]client{{one, 6 * time.Second / 10, false},
			{two, time.Second / 10, true}, {two, time.Second / 10, true}}, two, 0, 0},
		"none: another crowd is safer": {[]client{{one, 4 * time.Second / 10, false},
			{two, time.Second / 5, true}, {two, time.Second / 10, true}}, two, -1, time.Second / 10},
		"of the largest crowd, for another address": {[]client{{one, 4 * time.Second / 10, false},
			{two, time.Second / 5, true}, {two, time.Second / 10, true}}, other, 1, 0},
		"none: a crowd evicts its own": {[]client{{one, 6 * time.Second / 10, true},
			{two, time.Second / 5, true}, {two, time.Second / 10, true}}, two, -1, 3 * time.Second / 10},
		"none: as many as the newcomer's": {[]client{{one, time.Second / 5, true},
			{two, time.Second / 5, true}}, other, -1, 3 * time.Second / 10},
		"none: the newcomer's own": {[]client{{one, time.Second / 5, true},
			{one, time.Second / 5, true}}, one, -1, 3 * time.Second / 10},
		"none: young, of the largest crowd": {[]client{{two, 20 * time.Millisecond, true},
			{two, 10 * time.Millisecond, true}}, other, -1, 30 * time.Millisecond},
		"none: young and silent": {[]client{{one, 40 * time.Millisecond, false},
			{one, 30 * time.Millisecond, false}}, one, -1, 10 * time.Millisecond},
		"none: young and speaking": {[]client{{one, 300 * time.Millisecond, true}}, one, -1,
			200 * time.Millisecond},
		"no addresses at all": {[]client{{"", time.Second, true}, {"", time.Second, true}}, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var h handshakes
			var sessions []*session
			for _, c := range c.clients {
				prefix := prefixOf(c.network)
				begun := now.Add(-c.age)
				s := &session{
					raw: silent, network: prefix, accepted: begun, begun: begun, spoken: c.spoken,
				}
				sessions = append(sessions, s)
				h.add(s)
			}
			victim, wait := h.victim(prefixOf(c.newcomer), now, timeout)
			var want *session
			if c.victim >= 0 {
				want = sessions[c.victim]
			}
			if victim != want || wait != c.wait {
				t.Errorf("%+v, wait %v", victim, wait)
			}
			for i, s := range sessions {
				if h.remove(s); h.count != len(sessions)-1-i || len(h.all()) != h.count {
					t.Errorf("%d left", h.count)
				}
			}
			if len(h.networks) != 0 {
				t.Errorf("%v left", h.networks)
			}
		})
	}
}

func prefixOf(text string) netip.Prefix {
	if text == "" {
		return netip.Prefix{}
	}
	return netip.MustParsePrefix(text)
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1/32", "[::ffff:192.0.2.1]:5": "192.0.2.1/32",
		"[2001:db8::1:2:3:4]:5": "2001:db8::/64", "[fe80::1%lo]:5": "fe80::/64",
		"@": "invalid Prefix", "": "invalid Prefix",
	} {
		if got := network(textAddr(address)).String(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := network(nil); got.IsValid() {
		t.Error(got)
	}
}

type textAddr string

func (textAddr) Network() string  { return "test" }
func (a textAddr) String() string { return string(a) }
