// Package table has hash tables that never change. A change makes another table, which shares with
// the one before what is the same in both: its cost does not grow with the table. So whoever reads
// one needs no lock, and sees all of a change or nothing of it.
package table

import (
	"cmp"
	"hash/maphash"
	"iter"
	"slices"

	"github.com/zmqauth/zmqauth/internal/pause"
)

// Table is a table of values by keys. The zero value is empty. A copy is the same table. What a
// change has emptied is another one than each that was empty before: whoever compares tables to
// see whether there was a change must not miss two that undo each other.
type Table[K comparable, V any] struct {
	root *node[K, V] // nil: empty
	size int
}

// seed keeps outsiders from choosing keys that collide.
var seed = maphash.MakeSeed()

func hashOf[K comparable](key K) uint64 { return maphash.Comparable(seed, key) }

// Of is the table of n keys and values, which at gives by their numbers from 0. Where a key comes
// twice, the last one counts. n is below 1<<32.
func Of[K comparable, V any](n int, at func(i int) (K, V)) Table[K, V] {
	order := make([]uint64, n) // half of a hash, and the number: in the order of the tree
	var pauses pause.Pauses
	for i := range order {
		pauses.Step()
		key, _ := at(i)
		order[i] = hashOf(key)&^(1<<32-1) | uint64(i)
	}
	slices.SortFunc(order, func(a, b uint64) int {
		pauses.Step()
		return cmp.Compare(a, b)
	})
	b := builder[K, V]{at: at}
	root := b.build(order, 0)
	return Table[K, V]{root, b.size}
}

// Len is how many keys there are.
func (t Table[K, V]) Len() int { return t.size }

// Get is the value of a key.
func (t Table[K, V]) Get(key K) (value V, ok bool) {
	if t.root == nil {
		return value, false
	}
	hash := hashOf(key)
	n := t.root
	for depth := 0; n.slots != nil; depth += slotBits {
		n = n.slots[slotOf(hash, depth)]
	}
	if i := n.index(key); i >= 0 {
		return n.entries[i].value, true
	}
	return value, false
}

// With is the table with another value of a key, or with one key more.
func (t Table[K, V]) With(key K, value V) Table[K, V] {
	root := t.root
	if root == nil {
		root = new(node[K, V])
	}
	root, added := root.with(hashOf(key), entry[K, V]{key, value}, 0)
	return Table[K, V]{root, t.size + added}
}

// Without is the table without a key.
func (t Table[K, V]) Without(key K) Table[K, V] {
	if _, ok := t.Get(key); !ok {
		return t
	}
	return Table[K, V]{t.root.without(hashOf(key), key, 0), t.size - 1}
}

// bulk is how many keys are many: then a new table is made of the old one's and those. It takes a
// quarter of the time for each.
const bulk = 4

// WithAll is the table with some values more, n of them at most. A later one of a key counts.
func (t Table[K, V]) WithAll(n int, more iter.Seq2[K, V]) Table[K, V] {
	if n*bulk < t.Len() {
		for key, value := range more {
			t = t.With(key, value)
		}
		return t
	}
	all := make([]entry[K, V], 0, t.Len()+n)
	var pauses pause.Pauses
	for _, source := range []iter.Seq2[K, V]{t.All(), more} {
		for key, value := range source {
			pauses.Step()
			all = append(all, entry[K, V]{key, value})
		}
	}
	return Of(len(all), func(i int) (K, V) { return all[i].key, all[i].value })
}

// All are the keys and values, in no order.
func (t Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t.root != nil {
			t.root.all(yield)
		}
	}
}
