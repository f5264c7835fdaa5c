package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// resources is what the process holds.
type resources struct {
	goroutines, descriptors, sockets, threads int
	heap, resident                            int // bytes: Go's memory in use; all that is in RAM, libzmq's too
}

func measure(t *testing.T) resources {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers have let go of
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	r := resources{goroutines: runtime.NumGoroutine(), heap: int(memory.HeapAlloc)}
	r.descriptors, r.sockets = descriptors()
	status, err := os.ReadFile("/proc/self/status")
	must.OK(t, err)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Threads":
			_, err = fmt.Sscan(value, &r.threads)
		case "VmRSS":
			_, err = fmt.Sscan(value, &r.resident)
			r.resident <<= 10
		}
		must.OK(t, err)
	}
	return r
}

// descriptors counts them, and the sockets among them, those of connections in particular.
func descriptors() (all, sockets int) {
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil { // the one that was listing them
			continue
		}
		all++
		if strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	return all, sockets
}

func (r resources) String() string {
	return fmt.Sprintf("%d goroutines, %d threads, %d descriptors (%d sockets), %d KiB of Go's heap, %d KiB resident",
		r.goroutines, r.threads, r.descriptors, r.sockets, r.heap>>10, r.resident>>10)
}

// The memory that may be more at the end than at the beginning. It is not exact: allocators keep
// what they may need again, and the race detector as much again. A leak with each client shows in a
// long soak.
const (
	moreHeap     = 8 << 20
	moreResident = 64 << 20
)

// returned waits until the process holds what it did, and checks the memory.
func returned(t *testing.T, before resources) resources {
	t.Helper()
	testpeer.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before.goroutines })
	testpeer.Eventually(t, "no descriptor is left", func() bool {
		all, sockets := descriptors()
		return all <= before.descriptors && sockets <= before.sockets
	})
	after := measure(t)
	if after.heap > before.heap+moreHeap {
		t.Errorf("Go's heap has grown from %d to %d bytes", before.heap, after.heap)
	}
	if after.resident > before.resident+before.resident/4+moreResident {
		t.Errorf("the resident memory has grown from %d to %d bytes", before.resident, after.resident)
	}
	return after
}
