package acl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Kind is what a list's rules are for.
type Kind int

// The kinds of lists.
const (
	None  Kind = iota // there are no rules: every peer passes
	Allow             // only the peers that the list names pass
	Deny              // all peers pass but those that the list names
)

// String is the kind in words, with its article.
func (k Kind) String() string { return [...]string{"no list", "an allow list", "a deny list"}[k] }

// ErrMixed is the error of adding to a list of the other kind.
var ErrMixed = errors.New("a scope holds allowed or denied addresses, not both")

// List is a list of rules, all of one kind. Looking a peer up costs as much with a million networks
// as with one of each length. The zero value is of kind None, which is not the same as an allow
// list that names nobody. It may be read by several goroutines while none adds to it.
type List struct {
	kind     Kind
	networks map[netip.Prefix]struct{}
	bits     []int // the lengths that occur in networks
	ipcAny   bool
	ipcIDs   map[rule]struct{}
}

// Kind is what the list's rules are for.
func (l *List) Kind() Kind { return l.kind }

// Add adds all of the entries to a list of that kind or of none, which becomes one of that kind.
// kind is Allow or Deny. The errors are ErrMixed and that of the first text that is no entry (see
// [CheckEntry]); they change nothing. An allow list may be made with no entries, a deny list may
// not: that denies nobody, and stays what it was.
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

// passes judges a peer by the list.
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

// Names tells whether an entry names a peer. In doubt nobody passes: where the system did not tell
// an IPC peer's id, an entry on such an id names the peer in a deny list and does not in an allow
// list. A peer of whom nothing is known is named by every deny list and by no allow list.
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
		network, err := ip.Prefix(bits) // an error: longer than an address of that family
		if err != nil {
			continue
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
