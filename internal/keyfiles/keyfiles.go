// Package keyfiles has what is known of the files in a directory that hold keys of 32 bytes. It is
// made for very many files: one takes some 120 bytes, its name among them.
package keyfiles

import (
	"iter"
	"slices"

	"github.com/zmqauth/zmqauth/internal/files"
)

// Key is what a file holds. The zero value is none.
type Key = [32]byte

// File is what is known of one file. V is what else is known of its key.
type File[V any] struct {
	Mark  files.Mark // of what was read last
	Known V

	name   string
	key    Key
	Size   int32  // in bytes, of the content in force
	number uint32 // its own
	// Numbers of other files with the same key. One without previous is the first by name, the others
	// are in no order.
	previous, next uint32
}

// Name is the file's name in the directory.
func (f *File[V]) Name() string { return f.name }

// Key is the key in force.
func (f *File[V]) Key() Key { return f.key }

// IsFirst tells whether the file has a key and is the first by name of those that have it.
func (f *File[V]) IsFirst() bool { return f.key != Key{} && f.previous == none }

// none is the number of no file. The numbers of files begin with 1.
const none = 0

// blockSize is how many files take one piece of memory: 8 KiB with what the runtime adds. So a
// small directory takes little, and a
// large one is never copied.
const blockSize = 93

// Files are the files of a directory. The zero value has none. One goroutine at a time may use it.
// Memory of files that are removed is kept for others.
type Files[V any] struct {
	blocks []*[blockSize]File[V]
	made   uint32   // how many files have had a number
	free   []uint32 // the numbers of files that were removed
	byName index
	byKey  index // those that are first
}

// Grow makes room for n files more.
func (fs *Files[V]) Grow(n int) {
	fs.byName.grow(n, fs.nameHash)
	fs.byKey.grow(n, fs.keyHash)
	fs.blocks = slices.Grow(fs.blocks, n/blockSize+1)
}

// Len is how many files there are.
func (fs *Files[V]) Len() int { return int(fs.made) - len(fs.free) }

// All are the files, in no order. The loop may change them, but must not add or remove any.
func (fs *Files[V]) All() iter.Seq[*File[V]] {
	return func(yield func(*File[V]) bool) {
		for number := uint32(1); number <= fs.made; number++ {
			if f := fs.at(number); f.number != none && !yield(f) {
				return
			}
		}
	}
}

// Get is the file with a name; nil: there is none. It is valid until it is removed.
func (fs *Files[V]) Get(name string) *File[V] {
	return fs.found(fs.byName.find(hashOfName(name), fs.named(name)))
}

// First is the first file by name of those that have a key; nil: there is none.
func (fs *Files[V]) First(key Key) *File[V] {
	return fs.found(fs.byKey.find(hashOfKey(key), fs.holding(key)))
}

// Add adds a file, of whose name there is none yet.
func (fs *Files[V]) Add(name string) *File[V] {
	f := fs.fresh()
	f.name = name
	fs.byName.add(hashOfName(name), f.number, fs.nameHash)
	return f
}

// fresh is a file without a name.
func (fs *Files[V]) fresh() *File[V] {
	var number uint32
	if last := len(fs.free) - 1; last >= 0 {
		number, fs.free = fs.free[last], fs.free[:last]
	} else {
		fs.made++
		number = fs.made
		if int(number-1)/blockSize == len(fs.blocks) {
			fs.blocks = append(fs.blocks, new([blockSize]File[V]))
		}
	}
	f := fs.at(number)
	f.number = number
	return f
}

// Remove removes a file with its key.
func (fs *Files[V]) Remove(f *File[V]) {
	fs.SetKey(f, Key{})
	fs.byName.remove(hashOfName(f.name), f.number, fs.nameHash)
	fs.free = append(fs.free, f.number)
	*f = File[V]{}
}

// SetKey notes which key a file has.
func (fs *Files[V]) SetKey(f *File[V], key Key) {
	if f.key == key {
		return
	}
	if f.key != (Key{}) {
		fs.detach(f)
	}
	if f.key = key; key != (Key{}) {
		fs.attach(f)
	}
}

// attach makes a file one of those that have its key.
func (fs *Files[V]) attach(f *File[V]) {
	first := fs.First(f.key)
	switch {
	case first == nil:
		fs.byKey.add(hashOfKey(f.key), f.number, fs.keyHash)
	case f.name < first.name:
		fs.byKey.replace(hashOfKey(f.key), first.number, f.number)
		f.next, first.previous = first.number, f.number
	default:
		f.previous, f.next = first.number, first.next
		first.next = f.number
		if f.next != none {
			fs.at(f.next).previous = f.number
		}
	}
}

// detach undoes attach.
func (fs *Files[V]) detach(f *File[V]) {
	if f.next != none {
		fs.at(f.next).previous = f.previous
	}
	switch {
	case f.previous != none:
		fs.at(f.previous).next = f.next
	case f.next == none:
		fs.byKey.remove(hashOfKey(f.key), f.number, fs.keyHash)
	default:
		fs.promote(f)
	}
	f.previous, f.next = none, none
}

// promote makes another file the first one, in place of f.
func (fs *Files[V]) promote(f *File[V]) {
	first := fs.at(f.next)
	for other := first; other.next != none; {
		other = fs.at(other.next)
		if other.name < first.name {
			first = other
		}
	}
	fs.byKey.replace(hashOfKey(f.key), f.number, first.number)
	if first.previous == none {
		return
	}
	before := fs.at(first.previous)
	if before.next = first.next; first.next != none {
		fs.at(first.next).previous = before.number
	}
	first.previous, first.next = none, f.next
	fs.at(f.next).previous = first.number
}

func (fs *Files[V]) at(number uint32) *File[V] {
	return &fs.blocks[(number-1)/blockSize][(number-1)%blockSize]
}

func (fs *Files[V]) found(number uint32) *File[V] {
	if number == none {
		return nil
	}
	return fs.at(number)
}

func (fs *Files[V]) named(name string) func(uint32) bool {
	return func(number uint32) bool { return fs.at(number).name == name }
}

func (fs *Files[V]) holding(key Key) func(uint32) bool {
	return func(number uint32) bool { return fs.at(number).key == key }
}

func (fs *Files[V]) nameHash(number uint32) uint64 { return hashOfName(fs.at(number).name) }
func (fs *Files[V]) keyHash(number uint32) uint64  { return hashOfKey(fs.at(number).key) }
