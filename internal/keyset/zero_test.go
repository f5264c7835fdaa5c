package keyset

import "testing"

// TestIndexZero: where the zero key is among others.
func TestIndexZero(t *testing.T) {
	one := [keySize]byte{1}
	for _, c := range []struct {
		keys [][keySize]byte
		want int
	}{{nil, -1}, {[][keySize]byte{one}, -1}, {[][keySize]byte{one, {}, one, {}}, 1}} {
		if got := IndexZero(c.keys); got != c.want {
			t.Errorf("%v: %d, want %d", c.keys, got, c.want)
		}
	}
}
