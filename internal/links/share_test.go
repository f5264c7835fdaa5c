package links

import (
	"net"
	"strconv"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestShare: ports without a limit of their own share a part of the descriptors.
func TestShare(t *testing.T) {
	w := newWorld(t, 0)
	a, b := w.serve("a", freePort(t)), w.serve("b", freePort(t))
	limited := w.serve("c", freePort(t), "ca = ca.crt", "max-conns = 7")
	for _, test := range []struct {
		text        string
		descriptors uint64
		want        int
	}{
		{a, 6000, 1000},
		{a + limited, 6000, 1000},
		{a + b, 6000, 500},
		{a + b + "tunnel = t\n    host = h\n    forward = 1:a:2\n    socks = 3\n", 6000, 250},
		{a + b, 10, minShare},
		{a, 1 << 63, maxShare},
		{limited, 6000, 1000}, // which nobody uses
	} {
		if got := share(w.specs(test.text), test.descriptors); got != test.want {
			t.Errorf("%d, want %d, of %s", got, test.want, test.text)
		}
	}
	w.update(a + limited)
	w.logs(MessageListening, "tls-serve=c", "max-conns=7")
	w.logs(MessageListening, "tls-serve=a",
		"max-conns="+strconv.Itoa(share(w.specs(a), descriptorLimit())))
}

// TestShareHolds: what a link with its share of connections takes is no obstacle to another link.
func TestShareHolds(t *testing.T) {
	const most = 8
	w := newWorld(t, 0)
	w.set.descriptors = func() uint64 { return most * shareDivisor * descriptorsPerConn }
	at, local := freePort(t), freePort(t)
	w.update(w.serve("s", at, "ca = ca.crt", "max-conns = 100") + "tls-connect = c\n    listen = " +
		local + "\n    connect = " + at + "\n    ca = ca.crt\n    cert = ann.crt\n    key = ann.key\n")
	for i := range most + 4 {
		conn, err := net.Dial("tcp", local)
		must.OK(t, err)
		defer conn.Close()
		if i < most {
			must.OK(t, says(conn, "hello"))
		}
	}
	for _, l := range w.set.running {
		for _, s := range l.services {
			if n := len(s.server.Sessions()); n != most {
				t.Errorf("%v has %d connections", l.spec.key(), n)
			}
		}
	}
	must.OK(t, w.talks(at))
}
