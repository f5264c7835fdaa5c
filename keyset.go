package zmqauth

import (
	"hash/maphash"
	"math/bits"
)

// keySet is a set of keys that never changes. Whether it has a key is seen in one place of its memory or right beside it,
// where a map looks in several: with many keys each place is a wait for the memory. nil: no keys.
type keySet struct {
	seed  maphash.Seed
	slots []PublicKey // every other one is free, on average; a free one is zero
}

// newKeySet has keys that are not zero, and copies them.
func newKeySet(keys []PublicKey) *keySet {
	s := &keySet{seed: maphash.MakeSeed(), slots: make([]PublicKey, 2*len(keys)+1)}
	for _, key := range keys {
		s.slots[s.find(key)] = key
	}
	return s
}

func (s *keySet) has(key PublicKey) bool {
	return s != nil && key != (PublicKey{}) && s.slots[s.find(key)] == key
}

// find returns the slot that has a key, or the free one that it would have.
func (s *keySet) find(key PublicKey) int {
	high, _ := bits.Mul64(maphash.Bytes(s.seed, key[:]), uint64(len(s.slots)))
	at := int(high)
	for s.slots[at] != key && s.slots[at] != (PublicKey{}) {
		if at++; at == len(s.slots) {
			at = 0
		}
	}
	return at
}
