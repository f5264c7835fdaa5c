package acl

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/zmqauth/zmqauth/internal/pause"
	"github.com/zmqauth/zmqauth/internal/table"
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
// list that names nobody.
//
// A copy of a List is a List of its own: a change of one does not show in the other. That costs the
// same however long they are.
type List struct {
	kind     Kind
	networks table.Table[network, struct{}]
	lengths  []length // those that occur in networks; never changed
	ipcAny   bool
	ipcIDs   table.Table[rule, struct{}]
	few      []rule // all of networks and ipcIDs, where they are few; never changed
}

// few is how many rules are looked through faster than they are looked up.
const few = 8

// length is how many networks have so many bits.
type length struct{ bits, count int }

// Kind is what the list's rules are for.
func (l *List) Kind() Kind { return l.kind }

// Add adds all of the entries to a list of that kind or of none, which becomes one of that kind.
// kind is Allow or Deny. The errors are ErrMixed and that of the first text that is no entry (see
// [CheckEntry]); they change nothing. An allow list may be made with no entries, a deny list may
// not: that denies nobody, and stays what it was.
func (l *List) Add(kind Kind, entries []string) error {
	rules, err := parseRules(entries)
	if err != nil {
		return err
	}
	if l.kind != None && l.kind != kind {
		return fmt.Errorf("%w: this one has %v", ErrMixed, l.kind)
	}
	if kind == Deny && len(rules) == 0 {
		return nil
	}
	l.kind = kind
	l.insert(rules)
	return nil
}

// Set makes a list of that kind with these entries, whatever it was before. kind is Allow or Deny.
// The error is that of the first text that is no entry; it changes nothing. An allow list with no
// entries names nobody. A deny list with none is no list.
func (l *List) Set(kind Kind, entries []string) error {
	var next List
	if err := next.Add(kind, entries); err != nil {
		return err
	}
	*l = next
	return nil
}

// Remove takes entries out of a list. Those that are not in it do not matter. The error is that of
// the first text that is no entry; it changes nothing. An allow list without its last entry names
// nobody; a deny list without it is none any more.
func (l *List) Remove(entries []string) error {
	rules, err := parseRules(entries)
	if err != nil {
		return err
	}
	lengths := slices.Clone(l.lengths)
	var pauses pause.Pauses
	for _, r := range rules {
		pauses.Step()
		switch {
		case r.ipc == ipcAny:
			l.ipcAny = false
		case r.ipc != "":
			l.ipcIDs = l.ipcIDs.Without(r)
		default:
			key := networkOf(r.network)
			if _, ok := l.networks.Get(key); ok {
				l.networks = l.networks.Without(key)
				lengths = count(lengths, r.network.Bits(), -1)
			}
		}
	}
	l.lengths = lengths
	l.collectFew()
	if l.kind == Deny && !l.ipcAny && l.ipcIDs.Len()+l.networks.Len() == 0 {
		*l = List{}
	}
	return nil
}

func parseRules(entries []string) ([]rule, error) {
	rules := make([]rule, len(entries))
	var pauses pause.Pauses
	for i, entry := range entries {
		pauses.Step()
		rule, err := parseRule(entry)
		if err != nil {
			return nil, err
		}
		rules[i] = rule
	}
	return rules, nil
}

// insert adds rules. A List that this one was copied from does not see them.
func (l *List) insert(rules []rule) {
	networks := make([]network, 0, len(rules)) // that are not known
	var pauses pause.Pauses
	for _, r := range rules {
		pauses.Step()
		switch {
		case r.ipc == ipcAny:
			l.ipcAny = true
		case r.ipc != "":
			l.ipcIDs = l.ipcIDs.With(r, struct{}{})
		default:
			if key := networkOf(r.network); !l.has(key) {
				networks = append(networks, key)
			}
		}
	}
	before := l.networks.Len()
	l.networks = l.networks.WithAll(len(networks), func(yield func(network, struct{}) bool) {
		for _, n := range networks {
			if !yield(n, struct{}{}) {
				return
			}
		}
	})
	if l.networks.Len() < before+len(networks) { // some came twice
		l.lengths = countAll(nil, keys(l.networks.All()))
	} else {
		l.lengths = countAll(slices.Clone(l.lengths), slices.Values(networks))
	}
	l.collectFew()
}

func (l *List) collectFew() {
	l.few = nil
	if l.networks.Len()+l.ipcIDs.Len() > few {
		return
	}
	for network := range l.networks.All() {
		l.few = append(l.few, rule{network: network.prefix()})
	}
	for r := range l.ipcIDs.All() {
		l.few = append(l.few, r)
	}
}

// count counts one network more or less of a length.
func count(lengths []length, bits, change int) []length {
	at := slices.IndexFunc(lengths, func(l length) bool { return l.bits == bits })
	if at < 0 {
		return append(lengths, length{bits, change})
	}
	if lengths[at].count += change; lengths[at].count == 0 {
		return slices.Delete(lengths, at, at+1)
	}
	return lengths
}

// countAll counts some networks more.
func countAll(lengths []length, networks iter.Seq[network]) []length {
	var pauses pause.Pauses
	for n := range networks {
		pauses.Step()
		lengths = count(lengths, int(n.bits), 1)
	}
	return lengths
}

func keys[K, V any](pairs iter.Seq2[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		for key := range pairs {
			if !yield(key) {
				return
			}
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
	if l.few != nil {
		return slices.ContainsFunc(l.few, func(r rule) bool { return r.network.Contains(ip) })
	}
	for _, length := range l.lengths {
		network, err := ip.Prefix(length.bits) // an error: longer than an address of that family
		if err != nil {
			continue
		}
		if l.has(networkOf(network)) {
			return true
		}
	}
	return false
}

func (l *List) has(n network) bool {
	_, ok := l.networks.Get(n)
	return ok
}

func (l *List) namesID(property ipcProperty, id int64) bool {
	if id != unknownID && l.few != nil {
		return slices.Contains(l.few, rule{ipc: property, id: id})
	}
	if id != unknownID {
		_, ok := l.ipcIDs.Get(rule{ipc: property, id: id})
		return ok
	}
	if l.kind != Deny {
		return false
	}
	for r := range l.ipcIDs.All() {
		if r.ipc == property {
			return true
		}
	}
	return false
}
