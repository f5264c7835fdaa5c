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

// resources are the resources of the process.
type resources struct {
	goroutines, descriptors, sockets, threads int

	heap     int // bytes of Go's heap in use
	resident int // bytes of RAM, including libzmq's
}

func measure(t *testing.T) resources {
	t.Helper()
	runtime.GC()
	runtime.GC() // frees what finalizers have released
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

// descriptors counts the open descriptors and the sockets among them.
func descriptors() (all, sockets int) {
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil { // the descriptor that listed the directory is closed
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
	return fmt.Sprintf("%d goroutines, %d threads, %d descriptors (%d sockets), "+
		"%d KiB of Go's heap, %d KiB resident",
		r.goroutines, r.threads, r.descriptors, r.sockets, r.heap>>10, r.resident>>10)
}

// How much memory may grow between the two measurements. The limits are generous, because
// allocators and the race detector keep freed memory. A long soak shows a leak for each client.
const (
	moreHeap     = 8 << 20
	moreResident = 64 << 20
)

// returned waits until the process has no more goroutines and descriptors than before, and checks
// its memory.
func returned(t *testing.T, before resources) resources {
	t.Helper()
	testpeer.Eventually(t, "no goroutine is left", func() bool {
		return runtime.NumGoroutine() <= before.goroutines
	})
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
