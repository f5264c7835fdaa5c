package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Kind says what the entries of a list are for.
type Kind int

// The kinds of lists.
const (
	None  Kind = iota // there is no list: every peer passes
	Allow             // only the peers that the list matches pass
	Deny              // all peers pass except those that the list matches
)

// String returns the kind in words, with an article.
func (k Kind) String() string { return [...]string{"no list", "an allow list", "a deny list"}[k] }

// ErrMixed is the error of adding entries to a list of the other kind.
var ErrMixed = errors.New("a scope holds allowed or denied addresses, not both")

// List is an access control list. All of its entries are of one kind. The cost of a look-up grows
// with the number of prefix lengths, not with the number of networks. The zero value is of kind
// None, which differs from an empty allow list. Several goroutines may read a List as long as none
// adds to it.
type List struct {
	kind     Kind
	networks map[netip.Prefix]struct{}
	bits     []int // the prefix lengths in networks
	ipcAny   bool
	ipcIDs   map[rule]struct{}
}

// Kind returns what the entries of the list are for.
func (l *List) Kind() Kind { return l.kind }

// Add adds entries. kind is Allow or Deny, and a list of kind None becomes that kind. The errors
// are ErrMixed and that of [CheckEntry] about the first bad entry. After an error the list is
// unchanged. Add with no entries makes an empty allow list, which nobody passes. It makes no deny
// list: an empty one would deny nobody.
func (l *List) Add(kind Kind, entries []string) error {
	rules := make([]rule, len(entries))
	for i, entry := range entries {
		rule, err := parseRule(entry)
		if err != nil {
			return err
		}
		rules[i] = rule
	}
	if l.kind != None && l.kind != kind {
		return fmt.Errorf("%w: this one has %v", ErrMixed, l.kind)
	}
	if kind == Deny && len(rules) == 0 {
		return nil
	}
	l.kind = kind
	for _, rule := range rules {
		l.insert(rule)
	}
	return nil
}

func (l *List) insert(r rule) {
	switch {
	case r.ipc == ipcAny:
		l.ipcAny = true
	case r.ipc != "":
		if l.ipcIDs == nil {
			l.ipcIDs = make(map[rule]struct{})
		}
		l.ipcIDs[r] = struct{}{}
	default:
		if l.networks == nil {
			l.networks = make(map[netip.Prefix]struct{})
		}
		l.networks[r.network] = struct{}{}
		if !slices.Contains(l.bits, r.network.Bits()) {
			l.bits = append(l.bits, r.network.Bits())
		}
	}
}

// passes reports whether a peer passes the list.
func (l *List) passes(p Peer) bool {
	switch l.kind {
	case None:
		return true
	case Allow:
		return l.Names(p)
	default:
		return !l.Names(p)
	}
}

// Names reports whether an entry matches a peer. Doubt always works against the peer. If the system
// did not tell an id of an IPC peer, then an entry about such an id matches the peer in a deny list
// and does not match it in an allow list. The zero Peer is matched by every deny list and by no
// allow list.
func (l *List) Names(p Peer) bool {
	switch {
	case p.ip.IsValid():
		return l.namesIP(p.ip)
	case p.ipc:
		return l.ipcAny || l.namesID(ipcUID, p.process.uid) || l.namesID(ipcGID, p.process.gid) ||
			l.namesID(ipcPID, p.process.pid)
	default:
		return l.kind == Deny
	}
}

func (l *List) namesIP(ip netip.Addr) bool {
	for _, bits := range l.bits {
		network, err := ip.Prefix(bits)
		if err != nil {
			continue // an IPv4 address does not have that many bits
		}
		if _, ok := l.networks[network]; ok {
			return true
		}
	}
	return false
}

func (l *List) namesID(property ipcProperty, id int64) bool {
	if id != unknownID {
		_, ok := l.ipcIDs[rule{ipc: property, id: id}]
		return ok
	}
	if l.kind != Deny {
		return false
	}
	for r := range l.ipcIDs {
		if r.ipc == property {
			return true
		}
	}
	return false
}
