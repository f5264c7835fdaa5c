// Package testsodium calls libsodium's guarded memory in tests, as a library does that is loaded
// into the program.
package testsodium

/*
#cgo pkg-config: libzmq
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "sodium.h"
*/
import "C"

import (
	"testing"
	"time"
	"unsafe"
)

// Memory are functions for guarded memory.
type Memory struct {
	malloc, allocarray, free, noaccess, readonly, readwrite unsafe.Pointer
}

// Found returns the functions that every library finds. The test fails if there are none.
func Found(t testing.TB) *Memory { return find(t, C.TESTSODIUM_FOUND) }

// Own returns libsodium's own functions. The test fails if there are none.
func Own(t testing.TB) *Memory { return find(t, C.TESTSODIUM_OWN) }

func find(t testing.TB, whose C.int) *Memory {
	t.Helper()
	get := func(name string) unsafe.Pointer {
		text := C.CString(name)
		defer C.free(unsafe.Pointer(text))
		function := C.testsodium_function(text, whose)
		if function == nil {
			t.Fatalf("libzmq is without libsodium: %s is missing", name)
		}
		return function
	}
	return &Memory{
		malloc:     get("sodium_malloc"),
		allocarray: get("sodium_allocarray"),
		free:       get("sodium_free"),
		noaccess:   get("sodium_mprotect_noaccess"),
		readonly:   get("sodium_mprotect_readonly"),
		readwrite:  get("sodium_mprotect_readwrite"),
	}
}

// Malloc calls sodium_malloc.
func (m *Memory) Malloc(size int) unsafe.Pointer {
	return C.testsodium_malloc(m.malloc, C.size_t(size))
}

// Allocarray calls sodium_allocarray. The error is errno, where the pointer is nil.
func (m *Memory) Allocarray(count, size uint) (unsafe.Pointer, error) {
	p, err := C.testsodium_allocarray(m.allocarray, C.size_t(count), C.size_t(size))
	return p, err
}

// Free calls sodium_free.
func (m *Memory) Free(p unsafe.Pointer) { C.testsodium_free(m.free, p) }

// NoAccess calls sodium_mprotect_noaccess.
func (m *Memory) NoAccess(p unsafe.Pointer) bool { return C.testsodium_protect(m.noaccess, p) == 0 }

// ReadOnly calls sodium_mprotect_readonly.
func (m *Memory) ReadOnly(p unsafe.Pointer) bool { return C.testsodium_protect(m.readonly, p) == 0 }

// ReadWrite calls sodium_mprotect_readwrite.
func (m *Memory) ReadWrite(p unsafe.Pointer) bool {
	return C.testsodium_protect(m.readwrite, p) == 0
}

// Loop allocates and frees blocks of a size, one after the other.
func (m *Memory) Loop(size, times int) time.Duration {
	return time.Duration(C.testsodium_loop(m.malloc, m.free, C.size_t(size), C.int(times)))
}

// Fork makes a child process by fork alone, which writes to a block, frees it, and has a number of
// new blocks. It returns the child's locked memory in KiB, or -1 if the child failed.
func (m *Memory) Fork(p unsafe.Pointer, blocks int) int {
	return int(C.testsodium_fork(m.malloc, m.free, p, C.int(blocks)))
}
