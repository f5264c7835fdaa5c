package admission

import (
	"hash/maphash"
	"net/netip"
	"strings"
)

// Client stands for where a client comes from. Clients are told apart by a keyed hash, so that each
// takes the same little memory however long its address is. Nobody outside can find two addresses
// with the same one, and clients with such would but take their turns as one.
type Client uint64

var seed = maphash.MakeSeed()

// homeBits is how much of an IPv6 address a network gives to one client, as a rule (RFC 6177).
const homeBits = 64

// ClientOf is the client at an address as ZAP has it (RFC 27): an IPv4 address, the first 64 bits
// of an IPv6 address, or of IPC (localhost:uid:gid:pid) the user. IPv4-mapped addresses are IPv4.
func ClientOf(address string) Client {
	if rest, ok := strings.CutPrefix(address, "localhost:"); ok {
		user, _, _ := strings.Cut(rest, ":")
		return Client(maphash.String(seed, "ipc:"+user))
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return Client(maphash.String(seed, address))
	}
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = homeBits
	}
	home, _ := ip.Prefix(bits) // no error: the family has so many bits
	return Client(maphash.Comparable(seed, home))
}
