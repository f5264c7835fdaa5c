package hugepage

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPrefer: the memory of a large slice is marked, that of a small one is not; the contents stay.
func TestPrefer(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); errors.Is(err, os.ErrNotExist) {
		t.Skip("the kernel has no huge pages to give")
	}
	for size, want := range map[int]bool{least: true, least + 1000: true, 1000: false, 0: false} {
		slice := make([]byte, size)
		_, _ = rand.Read(slice) // never fails
		before := bytes.Clone(slice)
		Prefer(slice)
		if !bytes.Equal(slice, before) {
			t.Errorf("%d bytes: others than before", size)
		}
		if size > 0 {
			if marked := marked(t, &slice[size/2]); marked != want {
				t.Errorf("%d bytes: marked %v, want %v", size, marked, want)
			}
		}
	}
}

// marked tells whether the system has been asked for huge pages where a byte is (proc_pid_smaps(5)).
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
