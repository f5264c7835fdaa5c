package keyset

import (
	"crypto/rand"
	"fmt"
	"testing"
)

// TestHas: a set has exactly the keys that it was given, with duplicates or without, half full or
// full. It never has the zero key.
func TestHas(t *testing.T) {
	for _, count := range []int{0, 1, 2, 3, 100, 10_000} {
		keys := randomKeys(count)
		half := New(append(keys, keys...)[:max(count, 2*count-1)])
		full := newSet(count + 1) // one slot stays free
		for _, key := range keys {
			full.insert(key)
		}
		for name, set := range map[string]*Set{"half full": half, "full": full} {
			t.Run(fmt.Sprintf("%d keys, %s", count, name), func(t *testing.T) {
				for i, key := range keys {
					other := key
					other[31] ^= 1
					if !set.Has(key) || set.Has(other) {
						t.Fatalf("key %d: %v, another key: %v", i, set.Has(key), set.Has(other))
					}
				}
				if set.Has([32]byte{}) {
					t.Error("the zero key is in")
				}
				if set.Len() != count {
					t.Errorf("Len is %d", set.Len())
				}
			})
		}
	}
}

// TestEmpty: sets without keys, and sets that were given only the zero key, are empty.
func TestEmpty(t *testing.T) {
	for name, set := range map[string]*Set{
		"nil":           nil,
		"zero value":    {},
		"of no keys":    New[[32]byte](nil),
		"of a zero key": New([][32]byte{{}}),
		"of such keys":  New(make([][32]byte, 10)),
		"of named keys": New([]named(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			if set.Has([32]byte{1}) || set.Has([32]byte{}) || set.Len() != 0 {
				t.Errorf("%v, %v, %d keys", set.Has([32]byte{1}), set.Has([32]byte{}), set.Len())
			}
		})
	}
}

type named [32]byte

// TestNamedKeys: keys may have a named type.
func TestNamedKeys(t *testing.T) {
	set := New([]named{{1}, {2}, {1}, {}})
	if !set.Has(named{1}) || !set.Has(named{2}) || set.Has(named{3}) || set.Len() != 2 {
		t.Errorf("%d keys", set.Len())
	}
}

// TestNewCopies: the caller's keys may change afterwards.
func TestNewCopies(t *testing.T) {
	keys := randomKeys(2)
	first := keys[0]
	set := New(keys)
	keys[0] = [32]byte{1}
	if !set.Has(first) || set.Has(keys[0]) {
		t.Error("the set has what the caller has written since")
	}
}

// TestHasAllocatesNothing: every decision about a key calls Has.
func TestHasAllocatesNothing(t *testing.T) {
	keys := randomKeys(1000)
	set := New(keys)
	if n := testing.AllocsPerRun(1000, func() { set.Has(keys[7]); set.Has([32]byte{7}) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func randomKeys(count int) [][32]byte {
	keys := make([][32]byte, count)
	for i := range keys {
		_, _ = rand.Read(keys[i][:]) // never fails
	}
	return keys
}
