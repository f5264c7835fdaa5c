//go:build cgo

package fastcurve

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/fastcurve/internal/testsodium"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// blocks is FASTCURVE_BLOCKS.
const blocks = 128

// What libsodium fills new memory with, and the size of its canary.
const (
	garbage = 0xdb
	canary  = 16
)

var page = os.Getpagesize()

func TestMain(m *testing.M) {
	_, _, _ = zmq4.Version() // so that libzmq and libsodium are loaded
	os.Exit(m.Run())
}

// found returns the functions that libzmq calls too.
func found(t testing.TB) *testsodium.Memory {
	t.Helper()
	if !Active() {
		t.Fatal("not active")
	}
	return testsodium.Found(t)
}

func content(p unsafe.Pointer, size int) []byte { return unsafe.Slice((*byte)(p), size) }

// inPool tells whether a block that a call allocates is from the pool.
func inPool(allocate func()) bool {
	before := handedOut()
	allocate()
	return handedOut() > before
}

func TestBlocks(t *testing.T) {
	m := found(t)
	for _, size := range []int{0, 1, 15, 32, 33, 160, 1024, page - canary} {
		var p unsafe.Pointer
		if !inPool(func() { p = m.Malloc(size) }) {
			t.Errorf("%d bytes are not from the pool", size)
		}
		if end := uintptr(p) + uintptr(size); end%uintptr(page) != 0 {
			t.Errorf("%d bytes end at %x, which is not before a page", size, end)
		}
		if got := content(p, size); !bytes.Equal(got, bytes.Repeat([]byte{garbage}, size)) {
			t.Errorf("%d bytes: %x", size, got)
		}
		m.Free(p)
	}
	m.Free(nil)
}

// TestLarge: libsodium's own functions get what is larger than a page, and know it again.
func TestLarge(t *testing.T) {
	m := found(t)
	for _, size := range []int{page - canary + 1, page, 100 * page} {
		var p unsafe.Pointer
		if inPool(func() { p = m.Malloc(size) }) || p == nil {
			t.Fatalf("%d bytes: %v", size, p)
		}
		if !m.NoAccess(p) || !m.ReadOnly(p) || !m.ReadWrite(p) {
			t.Errorf("%d bytes cannot be protected", size)
		}
		content(p, size)[size-1] = 1
		m.Free(p)
	}
	if p := m.Malloc(math.MaxInt); p != nil {
		t.Errorf("more than the address space: %v", p)
	}
}

func TestAllocarray(t *testing.T) {
	m := found(t)
	var p unsafe.Pointer
	if !inPool(func() { p, _ = m.Allocarray(8, 16) }) {
		t.Error("128 bytes are not from the pool")
	}
	content(p, 128)[127] = 1
	m.Free(p)
	if p, err := m.Allocarray(math.MaxUint/2+1, 2); p != nil || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("more than can be counted: %v, %v", p, err)
	}
}

// TestExhaustion: what the pool does not have comes from libsodium. No two are the same, and the
// pool has all its blocks afterwards.
func TestExhaustion(t *testing.T) {
	m := found(t)
	for range 2 {
		before := handedOut()
		all := make(map[unsafe.Pointer]byte)
		for i := range byte(blocks + 50) {
			p := m.Malloc(64)
			if _, twice := all[p]; twice || p == nil {
				t.Fatalf("block %d: %v", i, p)
			}
			all[p] = i
			content(p, 64)[63] = i
		}
		if got := handedOut() - before; got != blocks {
			t.Errorf("%d blocks from the pool, not %d", got, blocks)
		}
		for p, i := range all {
			if content(p, 64)[63] != i {
				t.Errorf("block %d has another's content", i)
			}
			m.Free(p)
		}
	}
}

// TestWiped: nothing of a block is left in its page when another gets it.
func TestWiped(t *testing.T) {
	m := found(t)
	first := m.Malloc(1024)
	start := unsafe.Add(first, 1024-page)
	copy(content(first, 1024), bytes.Repeat([]byte("secret "), 146))
	m.Free(first)
	second := m.Malloc(8)
	defer m.Free(second)
	if unsafe.Add(second, 8-page) != start {
		t.Fatal("the page of the block was not used again")
	}
	if rest := content(start, page-canary-8); !bytes.Equal(rest, make([]byte, len(rest))) {
		t.Errorf("left in the page: %q", bytes.Trim(rest, "\x00"))
	}
}

func TestProtection(t *testing.T) {
	m := found(t)
	p := m.Malloc(4)
	copy(content(p, 4), "abcd")
	if !m.NoAccess(p) || !m.ReadOnly(p) {
		t.Fatal("a block cannot be protected")
	}
	if got := content(p, 4); string(got) != "abcd" {
		t.Errorf("read-only: %q", got)
	}
	if !m.ReadWrite(p) {
		t.Fatal("protection cannot be ended")
	}
	content(p, 4)[0] = 'A'
	if !m.NoAccess(p) {
		t.Fatal("a block cannot be protected")
	}
	m.Free(p) // however it is protected
	p = m.Malloc(4)
	content(p, 4)[0] = 'A'
	m.Free(p)
}

// dies runs a part of the test in a child process, which must end with a message.
func dies(t *testing.T, name, message string, do func(m *testsodium.Memory)) {
	const variable = "ZMQAUTH_TEST_DIES"
	t.Run(name, func(t *testing.T) {
		if os.Getenv(variable) == t.Name() {
			do(found(t))
			fmt.Println("survived")
			return
		}
		test, part, _ := strings.Cut(t.Name(), "/")
		command := exec.CommandContext(t.Context(), executable(t),
			"-test.run=^"+test+"$/^"+regexp.QuoteMeta(part)+"$", "-test.timeout=1m")
		command.Env = append(os.Environ(), variable+"="+t.Name())
		output, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(output), message) ||
			strings.Contains(string(output), "survived") {
			t.Errorf("not %q: %v\n%s", message, err, output)
		}
	})
}

// TestMisuse: as with libsodium, a program that misuses a block ends.
func TestMisuse(t *testing.T) {
	const fault = "SIGSEGV"
	dies(t, "write behind the end", fault, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		*(*byte)(unsafe.Add(p, 10)) = 1
	})
	dies(t, "read behind the end", fault, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		fmt.Println(*(*byte)(unsafe.Add(p, 10)))
	})
	dies(t, "far before the beginning", fault, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		*(*byte)(unsafe.Add(p, 10-page-1)) = 1
	})
	dies(t, "before the beginning", "before the beginning", func(m *testsodium.Memory) {
		p := m.Malloc(10)
		*(*byte)(unsafe.Add(p, -1)) ^= 1
		m.Free(p)
	})
	dies(t, "read after free", fault, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		m.Free(p)
		fmt.Println(*(*byte)(p))
	})
	dies(t, "write after free", fault, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		m.Free(p)
		*(*byte)(p) = 1
	})
	dies(t, "read without access", fault, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		m.NoAccess(p)
		fmt.Println(*(*byte)(p))
	})
	dies(t, "write when read-only", fault, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		m.ReadOnly(p)
		*(*byte)(p) = 1
	})
	const address = "not the address of a block"
	dies(t, "free twice", address, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		m.Free(p)
		m.Free(p)
	})
	dies(t, "free inside", address, func(m *testsodium.Memory) { m.Free(unsafe.Add(m.Malloc(10), 1)) })
	dies(t, "free a guard", address, func(m *testsodium.Memory) {
		m.Free(unsafe.Add(m.Malloc(10), page))
	})
	dies(t, "protect after free", address, func(m *testsodium.Memory) {
		p := m.Malloc(10)
		m.Free(p)
		m.ReadWrite(p)
	})
}

// TestManyThreads: no block has two owners.
func TestManyThreads(t *testing.T) {
	m := found(t)
	var all sync.WaitGroup
	for thread := range 16 {
		all.Go(func() {
			for range 2000 {
				var mine [12]unsafe.Pointer // with those of the other threads more than the pool has
				for i := range mine {
					mine[i] = m.Malloc(32)
					*(*byte)(mine[i]) = byte(thread)
				}
				for _, p := range mine {
					if got := *(*byte)(p); got != byte(thread) {
						t.Errorf("the block of thread %d is that of %d", thread, got)
					}
					m.Free(p)
				}
			}
		})
	}
	all.Wait()
}

// lockedMemory returns the locked memory of this process in KiB.
func lockedMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must.OK(t, err)
	_, after, _ := strings.Cut(string(status), "VmLck:")
	locked, err := strconv.Atoi(strings.Fields(after)[0])
	must.OK(t, err)
	return locked
}

// TestFork: a child can use and free the blocks that it inherits. Those that it gets are locked.
func TestFork(t *testing.T) {
	m := found(t)
	p := m.Malloc(16)
	content(p, 16)[0] = 'p'
	const few = 10
	if got := m.Fork(p, few); got < few*page/1024 {
		t.Errorf("%d KiB are locked in the child with %d blocks", got, few)
	}
	if got := content(p, 16)[0]; got != 'p' {
		t.Errorf("the child has written %q into its parent's block", got)
	}
	m.Free(p)
}

// TestLockedAndNotDumped: the memory stays out of the swap and of core dumps.
func TestLockedAndNotDumped(t *testing.T) {
	m := found(t)
	for _, access := range []string{"-w", "--"} {
		p := m.Malloc(16)
		line := fmt.Sprintf("%x-", (uintptr(p)-1)&^uintptr(page-1))
		if access == "--" {
			m.Free(p) // what was freed stays so
		}
		maps, err := os.ReadFile("/proc/self/smaps")
		must.OK(t, err)
		_, after, ok := strings.Cut(string(maps), "\n"+line)
		_, flags, _ := strings.Cut(after, "VmFlags:")
		flags, _, _ = strings.Cut(flags, "\n")
		if !ok || !strings.Contains(flags, " lo") || !strings.Contains(flags, " dd") ||
			strings.Contains(flags, " wr") != (access == "-w") {
			t.Errorf("%s: flags %q", line, flags)
		}
		if access == "-w" {
			m.Free(p)
		}
	}
}

// TestNothingLocked: where the limit allows no locked memory, blocks are used without a lock, as
// libsodium's are. Its own errno shows nothing of that.
func TestNothingLocked(t *testing.T) {
	if !testpeer.Child(t, nil) {
		return
	}
	must.OK(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{}))
	if os.Getuid() == 0 {
		must.OK(t, syscall.Setuid(65534)) // root has no limit
	}
	m := found(t)
	p, err := m.Allocarray(16, 1)
	if p == nil || err != nil || lockedMemory(t) != 0 {
		t.Fatalf("%v, %v, %d KiB locked", p, err, lockedMemory(t))
	}
	content(p, 16)[15] = 1
	m.Free(p)
}

// TestOff: ZMQAUTH_FASTCURVE=off leaves all to libsodium.
func TestOff(t *testing.T) {
	if !testpeer.Child(t, func(c *exec.Cmd) { c.Env = append(c.Env, "ZMQAUTH_FASTCURVE=off") }) {
		return
	}
	if Active() {
		t.Error("active")
	}
	m := testsodium.Found(t)
	p := m.Malloc(16)
	content(p, 16)[15] = 1
	if !m.ReadOnly(p) || handedOut() != 0 {
		t.Errorf("%d blocks from the pool", handedOut())
	}
	m.Free(p)
}

// BenchmarkBlock compares the pool with libsodium's own, in turns. libsodium/pool is how many times
// as long libsodium takes for a block.
func BenchmarkBlock(b *testing.B) {
	pool, own := found(b), testsodium.Own(b)
	var ours, theirs int64
	for b.Loop() {
		ours += int64(pool.Loop(128, 200))
		theirs += int64(own.Loop(128, 200))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(theirs)/float64(ours), "libsodium/pool")
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	must.OK(t, err)
	return path
}
