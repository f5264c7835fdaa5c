package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// rule is a parsed entry of a list. It matches a network, or IPC peers by a property.
type rule struct {
	network netip.Prefix // unmapped, masked, without a zone; invalid for a rule about IPC
	ipc     ipcProperty
	id      int64 // for ipcUID, ipcGID and ipcPID
}

// network is a network as the key of a table. It has no pointer, as a netip.Prefix has, which the
// garbage collector would follow in each of a million.
type network struct {
	ip   [16]byte
	bits uint8 // of an address of that family
	is4  bool
}

func networkOf(p netip.Prefix) network {
	return network{p.Addr().As16(), uint8(p.Bits()), p.Addr().Is4()}
}

func (n network) prefix() netip.Prefix {
	ip := netip.AddrFrom16(n.ip)
	if n.is4 {
		ip = ip.Unmap()
	}
	return netip.PrefixFrom(ip, int(n.bits))
}

// ipcProperty is the property of IPC peers that a rule is about, in the spelling of entries. It is
// "" for a network.
type ipcProperty string

const (
	ipcAny ipcProperty = "ipc"
	ipcUID ipcProperty = "uid"
	ipcGID ipcProperty = "gid"
	ipcPID ipcProperty = "pid"
)

// CheckEntry returns an error if a text is not an entry for [List.Add]. An entry is an IPv4 or IPv6
// address, a network in CIDR notation, "ipc" for every IPC peer, or "uid:N", "gid:N" or "pid:N" for
// some of them. The error names the text.
func CheckEntry(text string) error {
	_, err := parseRule(text)
	return err
}

// parseRule reads an entry. The error names the entry.
func parseRule(entry string) (rule, error) {
	property, number, numbered := strings.Cut(entry, ":")
	ipc := ipcProperty(property)
	switch {
	case entry == string(ipcAny):
		return rule{ipc: ipcAny}, nil
	case numbered && (ipc == ipcUID || ipc == ipcGID || ipc == ipcPID):
		id, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return rule{}, fmt.Errorf("address %q: %s:N wants a whole number", entry, property)
		}
		return rule{ipc: ipc, id: int64(id)}, nil
	}
	network, err := parseNetwork(entry)
	if err != nil {
		return rule{}, fmt.Errorf("address %q: %w", entry, err)
	}
	return rule{network: network}, nil
}

var errNoAddress = errors.New("not an IPv4 or IPv6 address, a network (address/bits), " +
	"ipc, uid:N, gid:N or pid:N")

// ParseNetwork reads an IPv4 or IPv6 address, or a network in CIDR notation. The network is
// unmapped, masked and without a zone. The error does not name the text.
func ParseNetwork(text string) (netip.Prefix, error) {
	network, err := parseNetwork(text)
	if errors.Is(err, errNoAddress) {
		err = errors.New("not an IPv4 or IPv6 address or a network (address/bits)")
	}
	return network, err
}

// parseNetwork reads an address or a network in CIDR notation. IPv4-mapped addresses become IPv4
// addresses, as they do in peers.
func parseNetwork(entry string) (netip.Prefix, error) {
	if !strings.Contains(entry, "/") {
		ip, err := netip.ParseAddr(entry)
		if err != nil {
			return netip.Prefix{}, errNoAddress
		}
		if ip.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone cannot be told apart here, leave it out")
		}
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	network, err := netip.ParsePrefix(entry)
	if err != nil {
		return netip.Prefix{}, errNoAddress
	}
	if ip := network.Addr(); ip.Is4In6() {
		const mappedBits = 96 // ::ffff:0:0/96 is all of IPv4
		if network.Bits() < mappedBits {
			return netip.Prefix{}, errors.New("an IPv4-mapped network has at least 96 bits")
		}
		network = netip.PrefixFrom(ip.Unmap(), network.Bits()-mappedBits)
	}
	return network.Masked(), nil
}
