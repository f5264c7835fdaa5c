//go:build linux

package front

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestReconfigure: other limits and balancers hold from then on. Open connections stay, and count.
// Who is no balancer any more cannot say who a client is, even in a header that it has begun.
func TestReconfigure(t *testing.T) {
	testpeer.NothingLeft(t)
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", &Config{
		ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("127.0.0.8/32")}})
	for range 2 {
		if !s.enters(t, "127.0.0.5") {
			t.Fatal("not let in")
		}
	}
	s.sessions(t, 2)
	begun := dial(t, s.front.Endpoint(), "127.0.0.8")
	text := header(t, 1, "192.0.2.1:1000")
	_, err := begun.Write(text[:10])
	must.OK(t, err)
	testpeer.Eventually(t, "the balancer's connection is accepted",
		func() bool { return s.front.Stats().Open == 3 })
	if err := s.front.Reconfigure(&Config{GreetingTimeout: -1}); err == nil {
		t.Error("a negative time is no error")
	}
	must.OK(t, s.front.Reconfigure(&Config{GreetingTimeout: time.Minute,
		Limits: &zmqauth.Limits{PerAddress: 2}}))
	_, err = begun.Write(append(text[10:], greetingOf()...))
	must.OK(t, err)
	s.refused(t, ReasonNoHeader, 1)
	if s.enters(t, "127.0.0.5") {
		t.Error("a third connection of one address is let in: those before do not count")
	}
	s.refused(t, "too-many-connections-of-address", 1)
	if !s.enters(t, "127.0.0.8") {
		t.Error("who was a balancer is not let in as itself")
	}
	must.OK(t, s.front.Reconfigure(nil))
	if !s.enters(t, "127.0.0.5") {
		t.Error("not let in without limits")
	}
	s.sessions(t, 4)
}
