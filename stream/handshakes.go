package stream

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"
)

var (
	errTimeout = errors.New("the handshake took too long")
	errCrowded = errors.New("closed in favour of a newer client, as too many handshakes went on")
)

// A handshake is safe from newcomers for a part of HandshakeTimeout.
const (
	// silentShare is the part where the client has sent nothing yet. It is enough for the first
	// packet, which most protocols send as soon as they are connected.
	silentShare = 200
	// spokenShare is the part where it has. Were that shorter than a handshake takes a busy machine, a
	// crowd of honest clients would drive each other out for ever.
	spokenShare = 20
)

// handshakes are those that go on, in the order in which they began, by the client's network.
type handshakes struct {
	networks map[netip.Prefix][]*session
	count    int
}

func (h *handshakes) add(c *session) {
	if h.networks == nil {
		h.networks = make(map[netip.Prefix][]*session)
	}
	h.networks[c.network] = append(h.networks[c.network], c)
	h.count++
}

func (h *handshakes) remove(c *session) {
	rest := slices.DeleteFunc(h.networks[c.network], func(other *session) bool { return other == c })
	h.count--
	if len(rest) == 0 {
		delete(h.networks, c.network)
		return
	}
	h.networks[c.network] = rest
}

func (h *handshakes) all() []*session {
	return slices.Concat(slices.Collect(maps.Values(h.networks))...)
}

// victim is the handshake that has to make room for a newcomer: of the network with the most, the
// oldest that is silent, or else the oldest. Where all of these are safe it is one of another
// network, that is not safe even if it had spoken; or nil, and there may be one after wait.
func (h *handshakes) victim(now time.Time, timeout time.Duration) (c *session, wait time.Duration) {
	silent, spoken := timeout/silentShare, timeout/spokenShare
	crowds := slices.SortedFunc(maps.Values(h.networks), func(a, b []*session) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), a[0].begun.Compare(b[0].begun))
	})
	wait = spoken
	for _, crowd := range crowds {
		grace := silent
		if len(crowd) < len(crowds[0]) {
			grace = spoken
		}
		for _, c := range crowd {
			wait = min(wait, spoken-now.Sub(c.begun))
			if age := now.Sub(c.accepted); age < grace {
				wait = min(wait, grace-age)
			} else if !c.hasSpoken() {
				return c, 0
			}
		}
		if oldest := crowd[0]; now.Sub(oldest.begun) >= spoken {
			return oldest, 0
		}
	}
	return nil, wait
}

// network is what a peer can be told by, where it may have many addresses: one IPv4 address, or 64
// bits of an IPv6 address. The zero value stands for all whose address is none of IP, as those of a
// Unix socket.
func network(address net.Addr) netip.Prefix {
	if address == nil {
		return netip.Prefix{}
	}
	peer, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := peer.Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
