// Package keyset has sets of 32-byte keys that never change, made for very many keys.
//
// A set says whether it has a key after a look at one place of its memory, or right beside it. A
// map looks at several places, and with many keys each of them is a wait for the memory.
package keyset

import (
	"hash/maphash"
	"math/bits"
)

const keySize = 32 // bytes

// Set is a set of keys: a hash table with open addressing. It may be read by any number of
// goroutines. The zero value and nil are the empty set.
type Set struct {
	seed  maphash.Seed
	keys  int    // how many are in
	count int    // of slots
	slots []byte // keySize bytes each; a free one is zero, and so is every other one on average
}

// New returns the set of keys, which it copies. A key that occurs more than once counts once. The
// zero key is in no set.
func New[K ~[keySize]byte](keys []K) *Set {
	s := newSet(2*len(keys) + 1)
	for _, key := range keys {
		s.insert(key)
	}
	return s
}

// newSet returns an empty set with that many slots. One of them has to stay free: a search ends
// there.
func newSet(count int) *Set {
	s := &Set{seed: maphash.MakeSeed(), count: count, slots: make([]byte, count*keySize)}
	preferHugePages(s.slots)
	return s
}

// Has tells whether a key is in the set.
func (s *Set) Has(key [keySize]byte) bool {
	return s != nil && s.count > 0 && key != [keySize]byte{} && *s.slot(s.find(key)) == key
}

// Len is how many keys are in the set.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return s.keys
}

func (s *Set) insert(key [keySize]byte) {
	if slot := s.slot(s.find(key)); *slot != key { // the zero key equals the free slot that it finds
		*slot = key
		s.keys++
	}
}

func (s *Set) slot(i int) *[keySize]byte { return (*[keySize]byte)(s.slots[i*keySize:]) }

// find returns the slot that has a key, or the free one that it would have.
func (s *Set) find(key [keySize]byte) int {
	high, _ := bits.Mul64(maphash.Bytes(s.seed, key[:]), uint64(s.count))
	// A line of the processor's cache has two slots: the second is at hand when the first one is.
	i := int(high) &^ 1
	for slot := s.slot(i); *slot != key && *slot != [keySize]byte{}; slot = s.slot(i) {
		if i++; i == s.count {
			i = 0
		}
	}
	return i
}
