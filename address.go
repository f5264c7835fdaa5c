package zmqauth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// peer is a client's address as libzmq reports it: an IP address without a port, or the credentials of a process at the
// other end of an IPC connection.
type peer struct {
	ip  netip.Addr // unmapped, without a zone; invalid for IPC
	ipc processCredentials
}

// processCredentials are those of an IPC peer, -1 where the system did not tell.
type processCredentials struct{ uid, gid, pid int64 }

const ipcHost = "localhost"

// parsePeer reads an address as ZAP has it: 192.0.2.1, 2001:db8::1, fe80::1%eth0, ::ffff:192.0.2.1 or, for IPC,
// localhost:uid:gid:pid.
func parsePeer(address string) (peer, error) {
	if rest, ok := strings.CutPrefix(address, ipcHost); ok {
		credentials, err := parseProcess(rest)
		return peer{ipc: credentials}, err
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return peer{}, err
	}
	return peer{ip: ip.WithZone("").Unmap()}, nil
}

// parseProcess reads ":uid:gid:pid". A part may be empty and all may be missing: not every system knows them.
func parseProcess(text string) (processCredentials, error) {
	c := processCredentials{-1, -1, -1}
	if text == "" {
		return c, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) != 4 || parts[0] != "" {
		return c, errors.New("not localhost:uid:gid:pid")
	}
	for i, id := range []*int64{&c.uid, &c.gid, &c.pid} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseUint(parts[i+1], 10, 32)
		if err != nil {
			return c, errors.New("not localhost:uid:gid:pid")
		}
		*id = int64(n)
	}
	return c, nil
}

// addressRule is one entry of Allow or Deny: a network, or a property of IPC peers.
type addressRule struct {
	network netip.Prefix // invalid for the rules on IPC
	ipc     string       // "", ipcAny, ipcUID, ipcGID or ipcPID
	id      int64
}

const (
	ipcAny = "ipc"
	ipcUID = "uid"
	ipcGID = "gid"
	ipcPID = "pid"
)

// parseRule reads an entry of Allow or Deny.
func parseRule(entry string) (addressRule, error) {
	kind, number, numbered := strings.Cut(entry, ":")
	switch {
	case entry == ipcAny:
		return addressRule{ipc: ipcAny}, nil
	case numbered && (kind == ipcUID || kind == ipcGID || kind == ipcPID):
		id, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return addressRule{}, fmt.Errorf("address %q: %s:N wants a whole number", entry, kind)
		}
		return addressRule{ipc: kind, id: int64(id)}, nil
	}
	network, err := parseNetwork(entry)
	if err != nil {
		return addressRule{}, fmt.Errorf("address %q: %w", entry, err)
	}
	return addressRule{network: network}, nil
}

var errNoAddress = errors.New("not an IPv4 or IPv6 address, a network (address/bits), ipc, uid:N, gid:N or pid:N")

// parseNetwork reads a single address or a network in CIDR notation. ::ffff:a.b.c.d is a.b.c.d.
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
		const mappedBits = 96 // ::ffff:0:0/96 holds all of IPv4
		if network.Bits() < mappedBits {
			return netip.Prefix{}, errors.New("an IPv4-mapped network has at least 96 bits")
		}
		network = netip.PrefixFrom(ip.Unmap(), network.Bits()-mappedBits)
	}
	return network.Masked(), nil
}

// addressList is one scope's rules, all of one kind. Looking an address up costs as much with a million networks as with
// one of each length. The zero value has no rules, which is not the same as an allow list that names nobody.
type addressList struct {
	kind     listKind
	networks map[netip.Prefix]struct{}
	bits     []int // the lengths that occur in networks
	ipcAny   bool
	ipcIDs   map[addressRule]struct{}
}

type listKind int

const (
	noList listKind = iota
	allowList
	denyList
)

func (k listKind) String() string { return [...]string{"no list", "an allow list", "a deny list"}[k] }

var errMixedLists = errors.New("a scope holds allowed or denied addresses, not both")

// add adds all of the rules, or none of them and tells why.
func (l *addressList) add(kind listKind, entries []string) error {
	rules := make([]addressRule, len(entries))
	for i, entry := range entries {
		rule, err := parseRule(entry)
		if err != nil {
			return err
		}
		rules[i] = rule
	}
	if l.kind != noList && l.kind != kind {
		return fmt.Errorf("%w: this one has %v", errMixedLists, l.kind)
	}
	if kind == denyList && len(rules) == 0 {
		return nil
	}
	l.kind = kind
	for _, rule := range rules {
		l.insert(rule)
	}
	return nil
}

func (l *addressList) insert(rule addressRule) {
	switch {
	case rule.ipc == ipcAny:
		l.ipcAny = true
	case rule.ipc != "":
		if l.ipcIDs == nil {
			l.ipcIDs = make(map[addressRule]struct{})
		}
		l.ipcIDs[rule] = struct{}{}
	default:
		if l.networks == nil {
			l.networks = make(map[netip.Prefix]struct{})
		}
		l.networks[rule.network] = struct{}{}
		if !slices.Contains(l.bits, rule.network.Bits()) {
			l.bits = append(l.bits, rule.network.Bits())
		}
	}
}

// passes judges an address by the list. One that cannot be read passes only where there are no rules.
func (l *addressList) passes(p peer, readable bool) bool {
	switch {
	case l.kind == noList:
		return true
	case !readable:
		return false
	case l.kind == allowList:
		return l.names(p, false)
	default:
		return !l.names(p, true)
	}
}

// names tells whether a rule holds for p. unknown is the answer for an id of an IPC peer that the system did not tell.
func (l *addressList) names(p peer, unknown bool) bool {
	if p.ip.IsValid() {
		for _, bits := range l.bits {
			network, err := p.ip.Prefix(bits) // an error: longer than an address of that family
			if err != nil {
				continue
			}
			if _, ok := l.networks[network]; ok {
				return true
			}
		}
		return false
	}
	return l.ipcAny || l.namesID(ipcUID, p.ipc.uid, unknown) || l.namesID(ipcGID, p.ipc.gid, unknown) ||
		l.namesID(ipcPID, p.ipc.pid, unknown)
}

func (l *addressList) namesID(kind string, id int64, unknown bool) bool {
	if id >= 0 {
		_, ok := l.ipcIDs[addressRule{ipc: kind, id: id}]
		return ok
	}
	if !unknown {
		return false
	}
	for rule := range l.ipcIDs {
		if rule.ipc == kind {
			return true
		}
	}
	return false
}

// addressRules are the rules of all scopes: the general ones, which always hold, and each domain's besides.
type addressRules struct {
	general addressList
	domains map[string]*addressList
}

// add adds to the scope of a domain, AnyDomain being the general one.
func (r *addressRules) add(kind listKind, domain string, entries []string) error {
	if domain == AnyDomain {
		return r.general.add(kind, entries)
	}
	list := r.domains[domain]
	if list == nil {
		list = new(addressList)
	}
	if err := list.add(kind, entries); err != nil {
		return fmt.Errorf("domain %q: %w", domain, err)
	}
	if r.domains == nil {
		r.domains = make(map[string]*addressList)
	}
	r.domains[domain] = list
	return nil
}

// pass judges the address of a request.
func (r *addressRules) pass(domain, address []byte) bool {
	list := r.domains[string(domain)]
	if r.general.kind == noList && list == nil {
		return true
	}
	p, err := parsePeer(string(address))
	return r.general.passes(p, err == nil) && (list == nil || list.passes(p, err == nil))
}
