package files

import "hash/maphash"

// Mark stands for a Stamp in a quarter of the memory. Marks of equal stamps are equal, within one
// process. Those of others differ: that they do not has a probability of 1 in 2^128. The zero value
// is that of no stamp.
type Mark [2]uint64

var markSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// Mark returns what stands for s.
func (s Stamp) Mark() (m Mark) {
	for i, seed := range markSeeds {
		m[i] = maphash.Comparable(seed, s)
	}
	return m
}
