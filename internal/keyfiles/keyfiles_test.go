package keyfiles

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// TestAgainstMap makes the same random changes to Files and to a map of names to keys, with few
// keys for many names.
func TestAgainstMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var fs Files[int]
	want := map[string]Key{}
	for range 3_000 {
		name, key := fmt.Sprint(random.IntN(300)), Key{byte(random.IntN(40))}
		f := fs.Get(name)
		if _, known := want[name]; known != (f != nil) {
			t.Fatalf("%s: known %v, found %v", name, known, f != nil)
		}
		switch {
		case f == nil:
			fs.SetKey(fs.Add(name), key)
			want[name] = key
		case random.IntN(2) == 0:
			fs.Remove(f)
			delete(want, name)
		default:
			fs.SetKey(f, key)
			want[name] = key
		}
		compare(t, &fs, want)
	}
	for _, name := range slices.Collect(maps.Keys(want)) {
		fs.Remove(fs.Get(name))
		delete(want, name)
		compare(t, &fs, want)
	}
}

func compare(t *testing.T, fs *Files[int], want map[string]Key) {
	t.Helper()
	first := map[Key]string{}
	for name, key := range want {
		if other, taken := first[key]; key != (Key{}) && (!taken || name < other) {
			first[key] = name
		}
	}
	got := map[string]Key{}
	for f := range fs.All() {
		got[f.Name()] = f.Key()
		if f.IsFirst() != (first[f.Key()] == f.Name()) {
			t.Fatalf("%s is the first of its key: %v", f.Name(), f.IsFirst())
		}
	}
	if !maps.Equal(got, want) || fs.Len() != len(want) {
		t.Fatalf("%d files, want %d", fs.Len(), len(want))
	}
	for key := range 40 {
		name, taken := first[Key{byte(key)}]
		f := fs.First(Key{byte(key)})
		if taken != (f != nil) || taken && f.Name() != name {
			t.Fatalf("key %d: want %q, found %+v", key, name, f)
		}
	}
}

// TestManyWithOneKey: a key that very many files have costs no more than other keys.
func TestManyWithOneKey(t *testing.T) {
	const count = 20_000
	var fs Files[int]
	name := func(i int) string { return fmt.Sprintf("%06d", i*7919%count) }
	for i := range count {
		fs.SetKey(fs.Add(name(i)), Key{1})
	}
	if first := fs.First(Key{1}).Name(); first != "000000" {
		t.Errorf("the first is %s", first)
	}
	for i := count - 1; i > 0; i-- {
		fs.Remove(fs.Get(name(i)))
	}
	if first := fs.First(Key{1}).Name(); first != "000000" || fs.Len() != 1 {
		t.Errorf("the first is %s of %d", first, fs.Len())
	}
}

// TestSize: 88 bytes for a file, and the memory of removed ones is used again.
func TestSize(t *testing.T) {
	if size := unsafe.Sizeof(File[*int]{}); size > 88 {
		t.Errorf("%d bytes", size)
	}
	var fs Files[*int]
	for i := range 1_000 {
		fs.Remove(fs.Add(fmt.Sprint(i)))
	}
	if len(fs.blocks) != 1 || len(fs.byName.slots) > 8 {
		t.Errorf("%d blocks, %d slots", len(fs.blocks), len(fs.byName.slots))
	}
}
