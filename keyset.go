package zmqauth

import (
	"hash/maphash"
	"math/bits"

	"github.com/zmqauth/zmqauth/internal/hugepage"
)

// keySet is a set of keys that never changes. Whether it has a key is seen in one place of its memory or right beside it,
// where a map looks in several: with many keys each place is a wait for the memory. nil: no keys.
type keySet struct {
	seed  maphash.Seed
	count int    // of slots
	slots []byte // every other one is free, on average; a free one is zero
}

// newKeySet has keys that are not zero, and copies them.
func newKeySet(keys []PublicKey) *keySet {
	s := makeKeySet(2*len(keys) + 1)
	for _, key := range keys {
		*s.slot(s.find(key)) = key
	}
	return s
}

func makeKeySet(count int) *keySet {
	s := &keySet{seed: maphash.MakeSeed(), count: count, slots: make([]byte, count*len(PublicKey{}))}
	hugepage.Prefer(s.slots)
	return s
}

func (s *keySet) slot(i int) *PublicKey { return (*PublicKey)(s.slots[i*len(PublicKey{}):]) }

func (s *keySet) has(key PublicKey) bool {
	return s != nil && key != (PublicKey{}) && *s.slot(s.find(key)) == key
}

// find returns the slot that has a key, or the free one that it would have.
func (s *keySet) find(key PublicKey) int {
	high, _ := bits.Mul64(maphash.Bytes(s.seed, key[:]), uint64(s.count))
	i := int(high) &^ 1 // two slots are in a line of the processor's cache: the second is at hand when the first is
	for slot := s.slot(i); *slot != key && *slot != (PublicKey{}); slot = s.slot(i) {
		if i++; i == s.count {
			i = 0
		}
	}
	return i
}
