// Package keyset has immutable sets of 32-byte keys. They are made for very many keys.
//
// A look-up reads one place in memory, and perhaps the place next to it. A Go map reads several
// places, and with many keys each of them is a cache miss.
package keyset

import (
	"hash/maphash"
	"math/bits"
	"runtime"

	"github.com/zmqauth/zmqauth/internal/pause"
)

const keySize = 32 // bytes

// Set is a set of keys. It is a hash table with open addressing. Any number of goroutines may read
// it. The zero value and nil are the empty set.
type Set struct {
	seed  maphash.Seed
	keys  int    // the number of keys
	count int    // the number of slots
	slots []byte // keySize bytes each; a free slot is zero; half of them are free
}

// New returns the set of keys. It copies the keys. Duplicates count once. The zero key is in no
// set, whether it is among keys or not.
func New[K ~[keySize]byte](keys []K) *Set {
	s := newSet(2*len(keys) + 1)
	var pauses pause.Pauses
	for _, key := range keys {
		pauses.Step()
		s.insert(key)
	}
	return s
}

// IndexZero returns where the zero key is; -1: nowhere.
func IndexZero[K ~[keySize]byte](keys []K) int {
	var pauses pause.Pauses
	for i, key := range keys {
		if pauses.Step(); key == (K{}) {
			return i
		}
	}
	return -1
}

// newSet returns an empty set with count slots. At least one slot must stay free, because a search
// ends at a free slot.
func newSet(count int) *Set {
	s := &Set{seed: maphash.MakeSeed(), count: count}
	var free func([]byte)
	if s.slots, free = newSlots(count * keySize); free != nil {
		runtime.AddCleanup(s, free, s.slots)
	}
	return s
}

// Has tells whether a key is in the set.
func (s *Set) Has(key [keySize]byte) bool {
	if s == nil || s.count == 0 || key == [keySize]byte{} {
		return false
	}
	found := *s.slot(s.find(key)) == key
	runtime.KeepAlive(s) // the slots may be freed with the set
	return found
}

// Len returns the number of keys in the set.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return s.keys
}

func (s *Set) insert(key [keySize]byte) {
	// The zero key equals the free slot that find returns for it, and is not inserted.
	if slot := s.slot(s.find(key)); *slot != key {
		*slot = key
		s.keys++
	}
	runtime.KeepAlive(s)
}

func (s *Set) slot(i int) *[keySize]byte { return (*[keySize]byte)(s.slots[i*keySize:]) }

// find returns the slot of a key, or the free slot where it would be inserted.
func (s *Set) find(key [keySize]byte) int {
	high, _ := bits.Mul64(maphash.Bytes(s.seed, key[:]), uint64(s.count))
	// A cache line has two slots. The search starts at the first of them: the second costs nothing.
	i := int(high) &^ 1
	for slot := s.slot(i); *slot != key && *slot != [keySize]byte{}; slot = s.slot(i) {
		if i++; i == s.count {
			i = 0
		}
	}
	return i
}
