//go:build linux

package front

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// few is how many connections are a flood in tests of a shed, which lasts until it is lifted.
const few = 20

// newShedding is a server at an endpoint whose front takes few connections for a flood.
func newShedding(t *testing.T, endpoint string, cfg *Config) *server {
	t.Helper()
	s := newServer(t, zmq4.ROUTER, "NULL", endpoint, cfg)
	tune(s.front, time.Hour)
	return s
}

func tune(f *Front, hold time.Duration) {
	f.engine.shed.mu.Lock()
	defer f.engine.shed.mu.Unlock()
	f.engine.shed.trigger, f.engine.shed.hold = few, hold
}

// knock begins a connection from an address, and waits for nothing.
func knock(t *testing.T, endpoint, from string) (fd int) {
	t.Helper()
	source, to := netip.MustParseAddr(from), netip.MustParseAddrPort(address(endpoint))
	family := unix.AF_INET
	name := func(addr netip.Addr, port uint16) unix.Sockaddr {
		return &unix.SockaddrInet4{Addr: addr.As4(), Port: int(port)}
	}
	target := netip.MustParseAddr("127.0.0.1")
	if !source.Is4() {
		family, target = unix.AF_INET6, netip.IPv6Loopback()
		name = func(addr netip.Addr, port uint16) unix.Sockaddr {
			return &unix.SockaddrInet6{Addr: addr.As16(), Port: int(port)}
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must.OK(t, err)
	must.OK(t, unix.Bind(fd, name(source, 0)))
	_ = unix.Connect(fd, name(target, to.Port())) // it is in progress, or refused
	return fd
}

// drops tells whether the kernel drops a connection from an address. Nobody else must come
// meanwhile.
func (s *server) drops(t *testing.T, from string) (dropped bool) {
	t.Helper()
	before := s.front.Stats().Dropped
	fd := knock(t, s.front.Endpoint(), from)
	defer unix.Close(fd)
	testpeer.Eventually(t, "an answer", func() bool {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		must.OK(t, err)
		const synSent = 2
		dropped = s.front.Stats().Dropped > before || info.Total_retrans > 0
		return dropped || info.State != synSent
	})
	return dropped
}

// flood has connections come from addresses until the kernel drops them all.
func (s *server) flood(t *testing.T, from ...string) {
	t.Helper()
	testpeer.Eventually(t, "the kernel drops them", func() bool {
		all := true
		for range few {
			for _, addr := range from {
				all = s.drops(t, addr) && all
			}
		}
		return all
	})
}

// dropped are the networks that the kernel drops.
func (s *server) dropped() []netip.Prefix {
	s.front.engine.shed.mu.Lock()
	defer s.front.engine.shed.mu.Unlock()
	return slices.Clone(s.front.engine.shed.networks)
}

// TestShed: in a flood the kernel drops those who are denied, and nobody else.
func TestShed(t *testing.T) {
	needFilters(t)
	testpeer.NeedIPv6(t)
	for _, c := range []struct {
		name, endpoint string
		rules          func(s *server) error
		from           []string // whom the flood comes from
		also           []string // who is dropped then
		in             []string // who is let in
	}{
		{name: "a denied network", endpoint: "tcp://127.0.0.1:*",
			rules: func(s *server) error { return s.a.Deny("127.9.0.0/16", "127.8.0.1") },
			from:  []string{"127.9.0.1"}, also: []string{"127.9.255.255"},
			in: []string{"127.10.0.1", "127.0.0.1"}},
		{name: "denied addresses", endpoint: "tcp://127.0.0.1:*",
			rules: func(s *server) error { return s.a.DenyDomain("d", "127.9.0.1", "127.9.0.2") },
			from:  []string{"127.9.0.1", "127.9.0.2"}, in: []string{"127.9.0.3"}},
		{name: "an allow list", endpoint: "tcp://127.0.0.1:*",
			rules: func(s *server) error { return s.a.Allow("127.9.0.5", "127.0.0.0/16") },
			from:  []string{"127.9.0.4", "127.200.0.1"}, also: []string{"127.128.0.1"},
			in: []string{"127.9.0.5", "127.0.0.1"}},
		{name: "allowed in one scope, denied in the other", endpoint: "tcp://127.0.0.1:*",
			rules: func(s *server) error {
				must.OK(t, s.a.Deny("127.9.7.0/24"))
				return s.a.AllowDomain("d", "127.9.0.0/16")
			},
			from: []string{"127.9.7.1", "127.8.0.1"}, in: []string{"127.9.6.1", "127.9.8.1"}},
		{name: "both families", endpoint: "tcp://[::]:*",
			rules: func(s *server) error { return s.a.Deny("::ffff:127.9.0.0/112", "::1") },
			from:  []string{"127.9.0.1", "::1"}, in: []string{"127.10.0.1"}},
		{name: "IPv4 beside IPv6", endpoint: "tcp://[::]:*",
			rules: func(s *server) error { return s.a.Deny("0.0.0.0/0") },
			from:  []string{"127.9.0.1"}, also: []string{"127.0.0.1"}, in: []string{"::1"}},
		{name: "IPv6 beside IPv4", endpoint: "tcp://[::]:*",
			rules: func(s *server) error { return s.a.Deny("::/0") },
			from:  []string{"::1"}, in: []string{"127.0.0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testpeer.NothingLeft(t)
			s := newShedding(t, c.endpoint, nil)
			must.OK(t, c.rules(s))
			s.flood(t, c.from...)
			for _, from := range append(c.from, c.also...) {
				if !s.drops(t, from) {
					t.Errorf("%s is not dropped", from)
				}
			}
			for _, from := range c.in {
				dropped := s.front.Stats().Dropped
				port := netip.MustParseAddrPort(address(s.front.Endpoint())).Port()
				host := map[bool]string{true: "127.0.0.1", false: "::1"}[strings.Contains(from, ".")]
				conn := dial(t, net.JoinHostPort(host, fmt.Sprint(port)), from)
				if !enter(t, conn) || s.front.Stats().Dropped != dropped {
					t.Errorf("%s is not let in at once", from)
				}
			}
		})
	}
}

// TestShedBelowFlood: connections that are fewer are closed and counted, each of them.
func TestShedBelowFlood(t *testing.T) {
	s := newServer(t, zmq4.ROUTER, "NULL", "tcp://127.0.0.1:*", nil)
	must.OK(t, s.a.Deny("127.9.0.0/16"))
	for i := range floodCount - 1 {
		if s.enters(t, fmt.Sprintf("127.9.0.%d", 1+i%250)) {
			t.Fatal("let in")
		}
	}
	s.refused(t, ReasonAddressDenied, floodCount-1)
	if stats := s.front.Stats(); stats.Refused != floodCount-1 || stats.Dropped != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestShedRulesChange: whom other rules let in gets in at once, while the flood goes on.
func TestShedRulesChange(t *testing.T) {
	needFilters(t)
	testpeer.NothingLeft(t)
	s := newShedding(t, "tcp://127.0.0.1:*", nil)
	must.OK(t, s.a.Deny("127.9.0.0/16"))
	var flooding sync.WaitGroup
	over := make(chan bool)
	flooding.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				return
			default:
				_ = unix.Close(knock(t, s.front.Endpoint(), fmt.Sprintf("127.9.0.%d", 1+i%200)))
			}
		}
	})
	defer flooding.Wait()
	defer close(over)
	for round := range 20 {
		must.OK(t, s.a.Deny("127.9.0.0/16"))
		before := s.front.Stats().Dropped
		testpeer.Eventually(t, "the kernel drops", func() bool {
			return s.front.Stats().Dropped > before
		})
		switch round % 3 {
		case 0:
			must.OK(t, s.a.RemoveAddresses(zmqauth.AnyDomain, "127.9.0.0/16"))
		case 1:
			must.OK(t, s.a.SetDenied(zmqauth.AnyDomain, "127.9.0.0/25"))
		case 2:
			must.OK(t, s.a.SetAllowed(zmqauth.AnyDomain, "127.9.0.250", "127.9.0.0/28"))
		}
		conn := dial(t, s.front.Endpoint(), "127.9.0.250")
		if retransmits(t, conn) > 0 || !enter(t, conn) {
			t.Errorf("round %d: who is allowed was dropped", round)
		}
		s.a.ResetAddresses()
	}
}

// TestShedRulesChangeMeanwhile: rules that change while the networks are looked for count. That
// takes long in a large allow list.
func TestShedRulesChangeMeanwhile(t *testing.T) {
	s := newShedding(t, "tcp://127.0.0.1:*", nil)
	entries := make([]string, 30_000)
	for i := range entries {
		entries[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
	}
	must.OK(t, s.a.Allow(entries...))
	for range 20 {
		for range few + 1 {
			must.OK(t, unix.Close(knock(t, s.front.Endpoint(), "127.9.0.1")))
		}
		must.OK(t, s.a.Allow("127.9.0.1"))
		for range 20 {
			conn := dial(t, s.front.Endpoint(), "127.9.0.1")
			if retransmits(t, conn) > 0 || !enter(t, conn) {
				t.Fatal("who is allowed was dropped")
			}
			must.OK(t, conn.Close())
		}
		must.OK(t, s.a.RemoveAddresses(zmqauth.AnyDomain, "127.9.0.1"))
	}
}

// retransmits is how many packets of a connection were sent again.
func retransmits(t *testing.T, conn *net.TCPConn) uint32 {
	t.Helper()
	raw, err := conn.SyscallConn()
	must.OK(t, err)
	var info *unix.TCPInfo
	must.OK(t, raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}))
	must.OK(t, err)
	return info.Total_retrans
}

// TestShedOpenConnection: the connection of an address that is dropped goes on. The decision is the
// Authenticator's.
func TestShedOpenConnection(t *testing.T) {
	needFilters(t)
	s := newShedding(t, "tcp://127.0.0.1:*", nil)
	conn := dial(t, s.front.Endpoint(), "127.9.0.1")
	testpeer.Eventually(t, "it is accepted", func() bool { return s.front.Stats().Open == 1 })
	must.OK(t, s.a.Deny("127.9.0.0/16"))
	s.flood(t, "127.9.0.1")
	_, err := conn.Write(append(greetingOf(), ready...))
	must.OK(t, err)
	greeting := make([]byte, len(greetingOf()))
	if _, err := io.ReadFull(conn, greeting); err != nil {
		t.Errorf("no greeting: %v", err)
	}
	if d := <-s.decisions; d.Status == 200 || d.Address != "127.9.0.1" {
		t.Errorf("%+v", d)
	}
	if !s.drops(t, "127.9.0.1") {
		t.Error("the flood is over")
	}
}

// TestShedBalancers: a balancer is never dropped, whoever comes through it, and whichever rules are
// about its own address.
func TestShedBalancers(t *testing.T) {
	needFilters(t)
	const balancer, second = "127.9.0.8", "127.9.0.9"
	through := func(t *testing.T, s *server, from, client string) bool {
		conn := dial(t, s.front.Endpoint(), from)
		_, err := conn.Write(header(t, 2, client))
		must.OK(t, err)
		return enter(t, conn) && retransmits(t, conn) == 0
	}
	s := newShedding(t, "tcp://127.0.0.1:*", &Config{ProxyProtocol: prefixes(balancer + "/32")})
	must.OK(t, s.a.Deny("127.9.0.0/16", "192.0.2.0/24"))
	for range 3 * few {
		if through(t, s, balancer, "192.0.2.1:1") {
			t.Fatal("let in")
		}
	}
	if networks := s.dropped(); len(networks) > 0 {
		t.Errorf("%v are dropped: the kernel never sees those addresses", networks)
	}
	s.flood(t, "127.9.0.1", second)
	if !through(t, s, balancer, "192.0.3.1:1") {
		t.Error("a balancer's good client is not let in at once")
	}
	if !s.drops(t, second) {
		t.Error("the flood is over")
	}
	must.OK(t, s.front.Reconfigure(&Config{ProxyProtocol: prefixes(second + "/32")}))
	if !through(t, s, second, "192.0.3.1:1") {
		t.Error("the good client of a new balancer is not let in at once")
	}
	s.flood(t, "127.9.0.1", balancer) // which is none any more
	many := make([]netip.Prefix, maxBalancers+1)
	for i := range many {
		many[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 9, 1, byte(i)}), 32)
	}
	must.OK(t, s.front.Reconfigure(&Config{ProxyProtocol: many}))
	for range 3 * few {
		if s.drops(t, "127.9.0.1") {
			t.Fatal("dropped, and the balancers are too many for the filter")
		}
	}
}
