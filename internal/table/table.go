// Package table has hash tables that never change. A change makes another table, which shares with
// the one before what is the same in both: its cost does not grow with the table. So whoever reads
// one needs no lock, and sees all of a change or nothing of it.
package table

import (
	"hash/maphash"
	"iter"

	"github.com/benbjohnson/immutable"
)

// Table is a table of values by keys. The zero value is empty. A copy is the same table.
type Table[K comparable, V any] struct {
	m *immutable.Map[K, V] // nil: empty
}

// seed keeps outsiders from choosing keys that collide.
var seed = maphash.MakeSeed()

// hasher hashes any key that can be compared.
type hasher[K comparable] struct{}

func (hasher[K]) Hash(key K) uint32 { return uint32(maphash.Comparable(seed, key)) }
func (hasher[K]) Equal(a, b K) bool { return a == b }

// Len is how many keys there are.
func (t Table[K, V]) Len() int {
	if t.m == nil {
		return 0
	}
	return t.m.Len()
}

// Get is the value of a key.
func (t Table[K, V]) Get(key K) (value V, ok bool) {
	if t.m == nil {
		return value, false
	}
	return t.m.Get(key)
}

// With is the table with another value of a key, or with one key more.
func (t Table[K, V]) With(key K, value V) Table[K, V] {
	if t.m == nil {
		return Table[K, V]{immutable.NewMap[K, V](hasher[K]{}).Set(key, value)}
	}
	return Table[K, V]{t.m.Set(key, value)}
}

// Without is the table without a key.
func (t Table[K, V]) Without(key K) Table[K, V] {
	if t.m == nil {
		return t
	}
	if t = (Table[K, V]{t.m.Delete(key)}); t.m.Len() == 0 {
		return Table[K, V]{}
	}
	return t
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
	builder := immutable.NewMapBuilder[K, V](hasher[K]{})
	for key, value := range t.All() {
		builder.Set(key, value)
	}
	for key, value := range more {
		builder.Set(key, value)
	}
	if builder.Len() == 0 {
		return Table[K, V]{}
	}
	return Table[K, V]{builder.Map()}
}

// All are the keys and values, in no order.
func (t Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t.m == nil {
			return
		}
		for all := t.m.Iterator(); !all.Done(); {
			if key, value, ok := all.Next(); ok && !yield(key, value) {
				return
			}
		}
	}
}
