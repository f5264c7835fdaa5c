package acl

import (
	"math/bits"
	"net/netip"

	"github.com/zmqauth/zmqauth/internal/pause"
)

// Refused returns a network around an IP address of which no address passes the rules of a domain,
// the widest that one list refuses. It returns false if the address passes. Of an allow list it
// looks through all networks. Nil rules refuse nobody.
func (r *Rules) Refused(domain string, ip netip.Addr) (network netip.Prefix, ok bool) {
	if r == nil {
		return network, false
	}
	ip = ip.WithZone("").Unmap()
	lists := []*List{&r.general}
	if list := r.domains[domain]; list != nil {
		lists = append(lists, list)
	}
	width := -1
	for _, list := range lists {
		if w := list.refused(ip); w >= 0 && (width < 0 || w < width) {
			width = w
		}
	}
	network, err := ip.Prefix(width)
	return network, err == nil // an error: it passes
}

// refused is how many bits the widest network around an address has that the list refuses as a
// whole; -1: the address passes.
func (l *List) refused(ip netip.Addr) int {
	if l.passes(Peer{ip: ip}) {
		return -1
	}
	width := ip.BitLen()
	if l.kind == Deny {
		for _, length := range l.lengths {
			network, err := ip.Prefix(length.bits)
			if err == nil && length.bits < width && l.has(networkOf(network)) {
				width = length.bits
			}
		}
		return width
	}
	// One bit more than it shares with the nearest network that is allowed.
	width = 0
	var pauses pause.Pauses
	for n := range l.networks.All() {
		pauses.Step()
		if p := n.prefix(); n.is4 == ip.Is4() {
			width = max(width, 1+shared(ip, p.Addr()))
		}
	}
	return width
}

// shared is how many bits two addresses of one family have in common at their beginning.
func shared(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if different := x[i] ^ y[i]; different != 0 {
			return 8*i + bits.LeadingZeros8(different)
		}
	}
	return 8 * len(x)
}
