package keyfiles

import (
	"hash/maphash"
	"math/bits"
)

// index finds files by a hash. It is a hash table with open addressing that has nothing but their
// numbers: what is hashed stands in the files.
type index struct {
	slots []uint32 // none: free. A quarter of them are free at least
	used  int
}

// seed keeps outsiders from choosing names that collide.
var seed = maphash.MakeSeed()

func hashOfName(name string) uint64 { return maphash.String(seed, name) }
func hashOfKey(key Key) uint64      { return maphash.Bytes(seed, key[:]) }

// home is the slot where the search for a hash begins.
func (x *index) home(hash uint64) int {
	high, _ := bits.Mul64(hash, uint64(len(x.slots)))
	return int(high)
}

func (x *index) after(slot int) int {
	if slot++; slot < len(x.slots) {
		return slot
	}
	return 0
}

// find is the number of a file with that hash for which is is true; none: there is none.
func (x *index) find(hash uint64, is func(number uint32) bool) uint32 {
	if x.used == 0 {
		return none
	}
	for slot := x.home(hash); ; slot = x.after(slot) {
		if number := x.slots[slot]; number == none || is(number) {
			return number
		}
	}
}

// slotOf is the slot with a number that is there.
func (x *index) slotOf(hash uint64, number uint32) int {
	slot := x.home(hash)
	for x.slots[slot] != number {
		slot = x.after(slot)
	}
	return slot
}

// add adds a number. hashOf is the hash of any number that is there.
func (x *index) add(hash uint64, number uint32, hashOf func(number uint32) uint64) {
	if !x.hasRoom(1) {
		x.grow(max(4, x.used/2), hashOf)
	}
	x.slots[x.slotOf(hash, none)] = number
	x.used++
}

func (x *index) hasRoom(more int) bool { return 4*(x.used+more) <= 3*len(x.slots) }

// grow makes room for more numbers.
func (x *index) grow(more int, hashOf func(number uint32) uint64) {
	if x.hasRoom(more) {
		return
	}
	old := x.slots
	x.slots = make([]uint32, (x.used+more)*4/3+1)
	for _, number := range old {
		if number != none {
			x.slots[x.slotOf(hashOf(number), none)] = number
		}
	}
}

func (x *index) replace(hash uint64, old, number uint32) { x.slots[x.slotOf(hash, old)] = number }

// remove removes a number. What stands behind it moves up, so that searches still find it (Knuth
// 6.4, algorithm R).
func (x *index) remove(hash uint64, number uint32, hashOf func(number uint32) uint64) {
	gap := x.slotOf(hash, number)
	for slot := x.after(gap); x.slots[slot] != none; slot = x.after(slot) {
		home := x.home(hashOf(x.slots[slot]))
		if x.distance(home, slot) >= x.distance(gap, slot) {
			x.slots[gap], gap = x.slots[slot], slot
		}
	}
	x.slots[gap] = none
	x.used--
}

// distance is how many steps it takes from one slot to another.
func (x *index) distance(from, to int) int {
	if from <= to {
		return to - from
	}
	return to - from + len(x.slots)
}
