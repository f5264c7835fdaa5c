package zmqauth

import "testing"

// TestKeySet: it has what it was given, however often and however full it is, and nothing else; never the zero key.
func TestKeySet(t *testing.T) {
	for _, count := range []int{0, 1, 2, 3, 100, 10_000} {
		keys := randomKeys(count)
		s := newKeySet(append(keys, keys...)[:max(count, 2*count-1)])
		full := makeKeySet(count + 1) // but for the one free slot that ends a search
		for _, key := range keys {
			*full.slot(full.find(key)) = key
		}
		for _, set := range []*keySet{s, full} {
			for i, key := range keys {
				other := key
				other[31] ^= 1
				if !set.has(key) || set.has(other) {
					t.Fatalf("%d keys: key %d: %v, another key: %v", count, i, set.has(key), set.has(other))
				}
			}
			if set.has(PublicKey{}) {
				t.Errorf("%d keys: the zero key is in", count)
			}
		}
	}
	if (*keySet)(nil).has(PublicKey{1}) {
		t.Error("no set: a key is in")
	}
}

// TestKeySetKeepsItsOwn: the caller's keys may change afterwards.
func TestKeySetKeepsItsOwn(t *testing.T) {
	keys := randomKeys(2)
	first := keys[0]
	s := newKeySet(keys)
	keys[0] = PublicKey{1}
	if !s.has(first) || s.has(keys[0]) {
		t.Error("the set has what the caller has written since")
	}
}
