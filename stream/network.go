package stream

import (
	"net"
	"net/netip"
)

// network returns what identifies a peer that may have many addresses: one IPv4 address, or the
// first 64 bits of an IPv6 address. All addresses that are not IP, such as those of Unix sockets,
// share the zero value.
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
