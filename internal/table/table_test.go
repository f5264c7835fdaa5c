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
	if empty.With("a", 1).Without("a") != empty ||
		empty.WithAll(0, maps.All(map[string]int{})) != empty {
		t.Error("an empty table is not the zero value")
	}
}

func key(n int) (k [32]byte) {
	binary.LittleEndian.PutUint64(k[:], uint64(n))
	return k
}

// TestMemory: what a key of 32 bytes with a pointer takes.
func TestMemory(t *testing.T) {
	const keys, limit = 200_000, 100
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
