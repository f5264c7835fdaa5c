// Package fastcurve makes CURVE handshakes cheaper. A program imports it for its effect:
//
//	import _ "github.com/zmqauth/zmqauth/fastcurve"
//
// For each handshake libzmq takes six blocks of guarded memory from libsodium (sodium_allocarray).
// libsodium makes each of them anew, and takes it apart afterwards, with ten system calls. That is
// a third of the server's work for a handshake. This package has a pool of such blocks, and needs
// two system calls for each use of a block.
//
// # How it takes effect
//
// The package defines these functions of libsodium: sodium_malloc, sodium_allocarray, sodium_free
// and sodium_mprotect_noaccess, _readonly and _readwrite. When libzmq calls one by its name, the
// dynamic linker looks for the name in the program first and in libsodium afterwards. So it finds
// the program's definition. The linker that builds the program exports it, because libzmq refers to
// it. No flags are needed. All other libraries in the process find the same functions.
//
// # When it does not
//
// [Active] tells whether libzmq's calls end here. They do not, and libsodium's own functions do the
// work as without this package:
//
//   - where libzmq has another library (tweetnacl) in place of libsodium, or no CURVE;
//   - where libsodium is linked statically, into libzmq or into the program;
//   - where libzmq is linked statically into the program (Active cannot look at its calls there,
//     and says no, even if they end here);
//   - where the program was built by a linker that does not export all of the names: those of LLVM
//     (ld.lld) and gold. The flag -ldflags=-extldflags=-rdynamic of go build mends that;
//   - in a shared library (-buildmode=c-shared) that is loaded into a process which has libzmq
//     already;
//   - on other systems than Linux, and without cgo;
//   - where the environment variable ZMQAUTH_FASTCURVE is "off" when the program starts, or the
//     system has no address space for the pool.
//
// # What it keeps of libsodium's promises
//
//   - Inaccessible pages lie before and behind the page of each block. The block ends where the
//     page ends, so that access to the first byte behind it ends the process.
//   - A random canary of 16 bytes lies before each block. sodium_free ends the process where it has
//     changed.
//   - A freed page is overwritten with zeros, all of it, and is inaccessible until its next use.
//     Access to it ends the process. So does freeing a block twice, or an address within one.
//   - The memory is locked (mlock), and is not in core dumps. Where RLIMIT_MEMLOCK does not allow
//     more, a block is used without a lock. Each later use tries again. libsodium does the same.
//   - New memory is filled with 0xdb. sodium_allocarray fails with ENOMEM where the product is too
//     large.
//
// The pool has 128 blocks, each of one page less the canary: 4080 bytes where a page has 4096. All
// of it is 1 MiB (257 pages) of address space and at most 512 KiB (128 pages) of memory. Pages
// become memory when they are first used, and stay locked until the process ends. libzmq has a
// block only within one function, so that some blocks for each I/O thread are in use at once.
// Larger blocks, and those for which the pool has no room, come from libsodium. sodium_free and
// sodium_mprotect_* know which are whose.
//
// All functions may be called by any thread at any time. They take no lock, which a fork could
// leave locked. A child process (fork without exec) has its own copy of the pool. It can use and
// free the blocks that it inherits. No child inherits locks on memory: inherited blocks are without
// a lock until they are freed, and each block that the child gets is locked again.
//
// The record of the pool, which has no secrets, is in the program's own memory. libsodium keeps its
// record in read-only pages.
package fastcurve

// Active tells whether libzmq's calls for guarded memory end in this package. It looks at the
// address of the function that libzmq calls, or that the dynamic linker is going to find at
// libzmq's first call. It needs no socket, allocates no block, and may be called by any goroutine
// at any time. It takes some ten microseconds.
func Active() bool { return active() }
