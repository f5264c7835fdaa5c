package table

import (
	"slices"

	"github.com/zmqauth/zmqauth/internal/pause"
)

// The shape of the tree. Leaves have six entries on average. With more slots for each node the
// tree would be flatter, but its leaves would be emptier after they split.
const (
	slotBits = 2 // of the hash, which a node tells apart
	leafSize = 12
	hashBits = 32 // of the hash, which the tree tells apart: a leaf is as large as need be then
)

type entry[K comparable, V any] struct {
	key   K
	value V
}

// node is a leaf, or has slots. It never changes once a table has it.
type node[K comparable, V any] struct {
	entries []entry[K, V]               // of a leaf
	slots   *[1 << slotBits]*node[K, V] // by bits of the hash, the highest first; nil: it is a leaf
}

// slotOf is the slot for a hash in a node so many bits below the root.
func slotOf(hash uint64, depth int) int { return int(hash << depth >> (64 - slotBits)) }

func (n *node[K, V]) index(key K) int {
	for i := range n.entries {
		if n.entries[i].key == key {
			return i
		}
	}
	return -1
}

// with is the node with an entry. added is 1 if the entry has replaced none.
func (n *node[K, V]) with(hash uint64, e entry[K, V], depth int) (_ *node[K, V], added int) {
	if n.slots != nil {
		slots := *n.slots
		at := slotOf(hash, depth)
		slots[at], added = slots[at].with(hash, e, depth+slotBits)
		return &node[K, V]{slots: &slots}, added
	}
	at := n.index(e.key)
	if at < 0 {
		at, added = len(n.entries), 1
	}
	entries := make([]entry[K, V], len(n.entries)+added)
	copy(entries, n.entries)
	entries[at] = e
	return leaf(entries, depth), added
}

// leaf is a node with those entries, whose memory it takes over. It is a leaf if they fit in one.
func leaf[K comparable, V any](entries []entry[K, V], depth int) *node[K, V] {
	if len(entries) <= leafSize || depth >= hashBits {
		return &node[K, V]{entries: entries}
	}
	var parts [1 << slotBits][]entry[K, V]
	for _, e := range entries {
		at := slotOf(hashOf(e.key), depth)
		parts[at] = append(parts[at], e)
	}
	n := &node[K, V]{slots: new([1 << slotBits]*node[K, V])}
	for i, part := range parts {
		n.slots[i] = leaf(slices.Clip(part), depth+slotBits)
	}
	return n
}

// without is the node without the entry of a key that it has.
func (n *node[K, V]) without(hash uint64, key K, depth int) *node[K, V] {
	if n.slots == nil {
		at := n.index(key)
		return &node[K, V]{entries: slices.Concat(n.entries[:at], n.entries[at+1:])}
	}
	slots := *n.slots
	at := slotOf(hash, depth)
	slots[at] = slots[at].without(hash, key, depth+slotBits)
	return merged(&node[K, V]{slots: &slots})
}

// merged is one leaf in place of a node whose leaves have become small, or else the node.
func merged[K comparable, V any](n *node[K, V]) *node[K, V] {
	left := 0
	for _, child := range n.slots {
		if left += len(child.entries); child.slots != nil || left > leafSize/2 {
			return n
		}
	}
	entries := make([]entry[K, V], 0, left)
	for _, child := range n.slots {
		entries = append(entries, child.entries...)
	}
	return &node[K, V]{entries: entries}
}

// all calls yield for the entries until it returns false, and returns that.
func (n *node[K, V]) all(yield func(K, V) bool) bool {
	for _, e := range n.entries {
		if !yield(e.key, e.value) {
			return false
		}
	}
	if n.slots != nil {
		for _, child := range n.slots {
			if !child.all(yield) {
				return false
			}
		}
	}
	return true
}

// builder makes a tree of many entries without the trees in between.
type builder[K comparable, V any] struct {
	at     func(i int) (K, V)
	size   int
	pauses pause.Pauses
}

// build makes the node of some entries. Each is half of its hash and its number, and they are in
// order.
func (b *builder[K, V]) build(order []uint64, depth int) *node[K, V] {
	if len(order) <= leafSize || depth >= hashBits {
		return b.leaf(order)
	}
	n := &node[K, V]{slots: new([1 << slotBits]*node[K, V])}
	for i := range n.slots {
		end := 0
		for end < len(order) && slotOf(order[end], depth) == i {
			end++
		}
		n.slots[i] = b.build(order[:end], depth+slotBits)
		order = order[end:]
	}
	return n
}

func (b *builder[K, V]) leaf(order []uint64) *node[K, V] {
	n := &node[K, V]{entries: make([]entry[K, V], 0, len(order))}
	for _, o := range order {
		b.pauses.Step()
		key, value := b.at(int(uint32(o)))
		if at := n.index(key); at >= 0 {
			n.entries[at].value = value
			continue
		}
		n.entries = append(n.entries, entry[K, V]{key, value})
	}
	n.entries = slices.Clip(n.entries)
	b.size += len(n.entries)
	return n
}
