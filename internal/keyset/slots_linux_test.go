package keyset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestNewSlots: a large slice has memory of its own, for which the system was asked to give huge
// pages. A small one is Go's. Both are zero.
func TestNewSlots(t *testing.T) {
	_, noHugePages := os.Stat("/sys/kernel/mm/transparent_hugepage")
	if errors.Is(noHugePages, os.ErrNotExist) {
		testpeer.Without(t, "hugepages", noHugePages)
	}
	for _, size := range []int{1000, ownMemoryMinimum - 1, ownMemoryMinimum, ownMemoryMinimum + 1000} {
		slots, free := newSlots(size)
		if len(slots) != size || !bytes.Equal(slots, make([]byte, size)) {
			t.Errorf("%d bytes: %d, or not zero", size, len(slots))
		}
		if own := free != nil; own != (size >= ownMemoryMinimum) {
			t.Errorf("%d bytes: own memory: %v", size, own)
		}
		if free == nil {
			continue
		}
		if noHugePages == nil && !marked(t, &slots[size/2]) {
			t.Errorf("%d bytes: no huge pages were asked for", size)
		}
		free(slots)
	}
}

// TestSetsAreFreed: the memory of large sets goes back to the system with them, and never before a
// look-up has ended.
func TestSetsAreFreed(t *testing.T) {
	keys := make([][keySize]byte, ownMemoryMinimum/(2*keySize))
	for i := range keys {
		binary.LittleEndian.PutUint32(keys[i][:], uint32(i+1))
	}
	for range 5 {
		set := New(keys)
		runtime.GC()
		if !set.Has(keys[0]) || set.Len() != len(keys) {
			t.Fatal("a key is not in its set")
		}
	}
	size := 2 * len(keys) * keySize
	testpeer.Eventually(t, "the memory is free", func() bool {
		runtime.GC()
		return mapped(t) < 3*size
	})
}

// mapped is how many bytes of memory have huge pages asked for.
func mapped(t *testing.T) (size int) {
	t.Helper()
	forMemory(t, func(from, to uint64, flags string) {
		if strings.Contains(flags, " hg ") {
			size += int(to - from)
		}
	})
	return size
}

// marked tells whether the system has been asked for huge pages at an address.
func marked(t *testing.T, at *byte) bool {
	t.Helper()
	var address uint64
	if _, err := fmt.Sscanf(fmt.Sprintf("%p", at), "0x%x", &address); err != nil {
		t.Fatal(err)
	}
	found, huge := false, false
	forMemory(t, func(from, to uint64, flags string) {
		if from <= address && address < to {
			found, huge = true, strings.Contains(flags, " hg ")
		}
	})
	if !found {
		t.Fatalf("no memory at %#x", address)
	}
	return huge
}

// forMemory calls f for each part of the memory, with its flags (see proc_pid_smaps(5)).
func forMemory(t *testing.T, f func(from, to uint64, flags string)) {
	t.Helper()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var from, to uint64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var first, last uint64
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &first, &last); n == 2 {
			from, to = first, last
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok {
			f(from, to, flags+" ")
		}
	}
}
