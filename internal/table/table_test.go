package table

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestAgainstMap makes the same random changes to tables and to a map. Tables from before a change
// are as they were.
func TestAgainstMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var now Table[int, int]
	want := map[int]int{}
	for range 2_000 {
		before, had := now, maps.Clone(want)
		switch key := random.IntN(300); random.IntN(5) {
		case 0, 1:
			now, want[key] = now.With(key, key+1), key+1
		case 2:
			now = now.Without(key)
			delete(want, key)
		default:
			more := map[int]int{}
			for range random.IntN(60) {
				more[random.IntN(300)] = random.Int()
			}
			now = now.WithAll(len(more), maps.All(more))
			maps.Copy(want, more)
		}
		if got := maps.Collect(now.All()); !maps.Equal(got, want) || now.Len() != len(want) {
			t.Fatalf("%d keys %v, want %v", now.Len(), got, want)
		}
		if got := maps.Collect(before.All()); !maps.Equal(got, had) {
			t.Fatal("a change shows in the table before it")
		}
	}
	for key := range 300 {
		value, ok := now.Get(key)
		if other, known := want[key]; ok != known || value != other {
			t.Errorf("%d: %d, %v", key, value, ok)
		}
	}
}

func TestEmpty(t *testing.T) {
	var empty Table[string, int]
	if _, ok := empty.Get("a"); ok || empty.Len() != 0 || empty.Without("a") != empty {
		t.Error("the zero value is not empty")
	}
	emptied := empty.With("a", 1).Without("a")
	if _, ok := emptied.Get("a"); ok || emptied.Len() != 0 || len(maps.Collect(emptied.All())) != 0 {
		t.Error("it is not empty")
	}
	if again := emptied.With("a", 1).Without("a"); emptied == empty || again == empty ||
		again == emptied || again.With("b", 2).Len() != 1 {
		t.Error("changes that undo each other do not show")
	}
	if of := empty.WithAll(0, maps.All(map[string]int{})); of == empty || of.Len() != 0 {
		t.Error("another empty table is the same one")
	}
}

// TestOf: the last value of a key counts, and a key that comes often makes no room for others less.
func TestOf(t *testing.T) {
	const keys, values = 100, 5_000
	table := Of(values, func(i int) (int, int) { return i % keys, i })
	want := map[int]int{}
	for key := range keys {
		want[key] = values - keys + key
	}
	if got := maps.Collect(table.All()); !maps.Equal(got, want) || table.Len() != keys {
		t.Errorf("%d keys: %v", table.Len(), got)
	}
	for key := range keys {
		table = table.Without(key)
	}
	if left := len(maps.Collect(table.All())); left+table.Len() != 0 || table.root.slots != nil {
		t.Errorf("%d keys are left of %d", left, table.Len())
	}
}

// TestShrinks: a table whose keys have gone is as small as one that never had them.
func TestShrinks(t *testing.T) {
	const keys, left = 20_000, 10
	var table Table[int, int]
	for key := range keys {
		table = table.With(key, key)
	}
	for key := left; key < keys; key++ {
		table = table.Without(key)
	}
	nodes := 0
	var count func(n *node[int, int])
	count = func(n *node[int, int]) {
		nodes++
		if n.slots != nil {
			for _, child := range n.slots {
				count(child)
			}
		}
	}
	count(table.root)
	if nodes > 10*left || table.Len() != left {
		t.Errorf("%d nodes for %d keys", nodes, table.Len())
	}
}

func key(n int) (k [32]byte) {
	binary.LittleEndian.PutUint64(k[:], uint64(n))
	return k
}

// TestMemory: what a key of 32 bytes with a pointer takes.
func TestMemory(t *testing.T) {
	const keys, limit = 200_000, 60
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	var table Table[[32]byte, *int]
	for n := range keys {
		table = table.With(key(n), nil)
	}
	if each := int64(heap()-before) / keys; each > limit {
		t.Errorf("%d bytes for each key", each)
	}
	runtime.KeepAlive(table)
}

func BenchmarkTable(b *testing.B) {
	const keys = 1_000_000
	var table Table[[32]byte, *int]
	table = table.WithAll(keys, func(yield func([32]byte, *int) bool) {
		for n := range keys {
			if !yield(key(n), nil) {
				return
			}
		}
	})
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := table.Get(key(rand.IntN(keys))); !ok {
				b.Fatal("a key is missing")
			}
		}
	})
	b.Run("With", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			table = table.With(key(rand.IntN(keys)), nil)
		}
	})
}
