//go:build linux

package front

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestProxyProtocol: a balancer must send a header, which says who the client is. From others it is
// no greeting.
func TestProxyProtocol(t *testing.T) {
	testpeer.NothingLeft(t)
	limits := &zmqauth.Limits{PerAddress: 1}
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", &Config{
		ProxyProtocol:   []netip.Prefix{netip.MustParsePrefix("127.0.0.8/32")},
		Limits:          limits,
		GreetingTimeout: time.Second,
	})
	must.OK(t, s.a.Deny("192.0.2.66"))
	for _, c := range []struct {
		name, from, header, client, reason string
	}{
		{name: "v1", from: "127.0.0.8", header: string(header(t, 1, "192.0.2.1:1000")),
			client: "192.0.2.1:1000"},
		{name: "v2", from: "127.0.0.8", header: string(header(t, 2, "[2001:db8::7]:1000")),
			client: "[2001:db8::7]:1000"},
		{name: "unknown", from: "127.0.0.8", header: "PROXY UNKNOWN\r\n", client: "127.0.0.8"},
		{name: "not a balancer", from: "127.0.0.9", client: "127.0.0.9"},
		{name: "without a header", from: "127.0.0.8", reason: ReasonNoHeader},
		{name: "bad", from: "127.0.0.8", header: "PROXY TCP4 x\r\n", reason: ReasonNoHeader},
		{name: "denied", from: "127.0.0.8", header: string(header(t, 1, "192.0.2.66:1")),
			reason: ReasonAddressDenied},
		{name: "one too many", from: "127.0.0.8", header: string(header(t, 2, "192.0.2.1:1001")),
			reason: "too-many-connections-of-address"},
		{name: "a header of somebody else's", from: "127.0.0.10",
			header: string(header(t, 1, "192.0.2.9:1000")), reason: ReasonNotZMTP},
	} {
		open := t // until the end of all cases
		t.Run(c.name, func(t *testing.T) {
			conn := dial(open, s.front.Endpoint(), c.from)
			for _, b := range []byte(c.header) { // in pieces, which must not matter
				if _, err := conn.Write([]byte{b}); err != nil {
					break // refused before the end
				}
			}
			if in := enter(t, conn); in != (c.client != "") {
				t.Fatalf("let in: %v", in)
			}
			if c.reason != "" {
				s.refused(t, c.reason, 1)
				return
			}
			all := s.a.Sessions()
			d := <-s.decisions
			want := c.client
			testpeer.Eventually(t, "the session is "+want, func() bool {
				all = s.a.Sessions()
				return len(all) > 0 && (all[len(all)-1].Client.String() == want ||
					all[len(all)-1].Client.Addr().String() == want)
			})
			if d.Address != all[len(all)-1].Client.Addr().String() {
				t.Errorf("%+v", d)
			}
		})
	}
	silent := dial(t, s.front.Endpoint(), "127.0.0.8")
	if sent, err := io.ReadAll(silent); len(sent) > 0 {
		t.Errorf("%q, %v", sent, err)
	}
	s.refused(t, ReasonNoGreeting, 1)
}
