package session

import (
	"net/netip"
	"testing"
)

// TestPort: where no effect can be seen, a connection is known by a port that nobody else can have,
// whoever else has the address.
func TestPort(t *testing.T) {
	const front = 999
	at := func(port int) *conn {
		return &conn{origin: tcpOrigin(netip.MustParseAddr("127.16.0.1"), port)}
	}
	stranger, own, decided := at(5), at(front), at(front)
	decided.decided = true
	for name, test := range map[string]struct {
		conns []*conn
		port  uint16
		want  *conn
	}{
		"alone":             {[]*conn{own}, front, own},
		"beside a stranger": {[]*conn{stranger, own, decided}, front, own},
		"a stranger alone":  {[]*conn{stranger}, front, nil},
		"an old one":        {[]*conn{decided}, front, nil},
		"two":               {[]*conn{own, at(front)}, front, nil},
		"no port":           {[]*conn{own}, 0, nil},
	} {
		l := &lane{conns: make(map[*conn]struct{})}
		for _, c := range test.conns {
			l.conns[c] = struct{}{}
		}
		if got := l.from(test.port); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
