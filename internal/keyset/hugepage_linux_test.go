package keyset

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestPreferHugePages: the memory of a large slice is marked, that of a small slice is not, and the
// contents stay the same.
func TestPreferHugePages(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); errors.Is(err, os.ErrNotExist) {
		testpeer.Without(t, "hugepages", err)
		t.Skip("the kernel has no huge pages to give")
	}
	for _, size := range []int{1000, hugePageMinimum / 2, hugePageMinimum, hugePageMinimum + 1000} {
		slice := make([]byte, size)
		_, _ = rand.Read(slice) // never fails
		before, middle := bytes.Clone(slice), &slice[size/2]
		was := marked(t, middle) // memory that the allocator uses again stays marked
		preferHugePages(slice)
		if !bytes.Equal(slice, before) {
			t.Errorf("%d bytes: the contents have changed", size)
		}
		if is := marked(t, middle); is != (was || size >= hugePageMinimum) {
			t.Errorf("%d bytes: marked %v, before %v", size, is, was)
		}
	}
	preferHugePages(nil)
}

// marked tells whether the system has been asked for huge pages at an address (see
// proc_pid_smaps(5)).
func marked(t *testing.T, at *byte) bool {
	t.Helper()
	var address uint64
	if _, err := fmt.Sscanf(fmt.Sprintf("%p", at), "0x%x", &address); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	within := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var from, to uint64
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			within = from <= address && address < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && within {
			return strings.Contains(flags+" ", " hg ")
		}
	}
	t.Fatalf("no memory at %#x", address)
	return false
}
