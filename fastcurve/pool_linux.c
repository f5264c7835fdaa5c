//go:build linux && cgo

#define _GNU_SOURCE
#include "pool_linux.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

// The pool is one mapping. Inaccessible pages are between the blocks and at both ends:
//
//	guard, block 0, guard, block 1, … guard
//
// The bytes that the caller gets end with the block's page, so that one byte too far is in the
// guard. The canary is before them. A block that nobody has is inaccessible, too.
enum { CANARY = 16, WORD = 64, WORDS = FASTCURVE_BLOCKS / WORD, NONE = -1 };

// What libsodium fills new memory with.
enum { GARBAGE = 0xdb };

// Only the thread that has taken a block reads and writes its entry.
static struct {
	size_t size;
	int access;      // the protection of its page (mmap(2))
	pid_t locked_by; // the process whose lock is on the page: a child does not inherit it
} blocks[FASTCURVE_BLOCKS];

// A bit for each block that is taken. There is no lock that a fork could leave locked in the child.
static _Atomic uint64_t taken[WORDS];
static _Atomic uint64_t handed_out;

// start sets these before the program begins, and nothing changes them afterwards.
static char *pool; // NULL: all calls are passed on
static size_t page;
static unsigned char canary[CANARY];

// The functions of libsodium that those of this file take the place of.
static struct {
	void *(*malloc)(size_t size);
	void (*free)(void *pointer);
	int (*noaccess)(void *pointer);
	int (*readonly)(void *pointer);
	int (*readwrite)(void *pointer);
} libsodium;

// Ends the process, as libsodium does, because its memory is not as it should be.
static _Noreturn void die(const char *why) {
	ssize_t ignored = write(STDERR_FILENO, why, strlen(why));
	(void) ignored;
	abort();
}

// Returns the number of a free block, which is taken then, or NONE. The first free one has most
// likely been used before, so that few pages are ever locked.
static int take(void) {
	for (int word = 0; word < WORDS; word++) {
		uint64_t bits = atomic_load_explicit(&taken[word], memory_order_relaxed);
		while (~bits) {
			int bit = __builtin_ctzll(~bits);
			if (atomic_compare_exchange_weak_explicit(&taken[word], &bits, bits | UINT64_C(1) << bit,
					memory_order_acquire, memory_order_relaxed))
				return word * WORD + bit;
		}
	}
	return NONE;
}

static void give_back(int block) {
	atomic_fetch_and_explicit(&taken[block / WORD], ~(UINT64_C(1) << block % WORD),
		memory_order_release);
}

static char *page_of(int block) { return pool + page * (1 + 2 * (size_t) block); }

// Returns the block that a pointer belongs to, or NONE if it is not the pool's.
static int block_of(const void *pointer) {
	uintptr_t offset = (uintptr_t) pointer - (uintptr_t) pool;
	if (!pool || offset == 0 || offset > page * 2 * FASTCURVE_BLOCKS)
		return NONE;
	size_t number = (offset - 1) / page; // a block without bytes is at the end of its page
	int block = (int) (number / 2);
	if (number % 2 == 0
			|| !(atomic_load(&taken[block / WORD]) >> block % WORD & 1)
			|| (char *) pointer != page_of(block) + page - blocks[block].size)
		die("fastcurve: not the address of a block, or of one that was freed\n");
	return block;
}

static int protect(int block, int access) {
	if (blocks[block].access != access) {
		if (mprotect(page_of(block), page, access) == -1)
			return -1;
		blocks[block].access = access;
	}
	return 0;
}

// Keeps the page in memory. Where the limit of locked memory does not allow that, the block is used
// all the same, and the next time tries again. Both are as with libsodium.
static void lock(int block) {
	pid_t self = getpid();
	if (blocks[block].locked_by != self && mlock(page_of(block), page) == 0)
		blocks[block].locked_by = self;
}

// Returns NULL if the pool has no block.
static void *allocate(size_t size) {
	if (!pool || size > page - CANARY)
		return NULL;
	int block = take();
	if (block == NONE)
		return NULL;
	if (protect(block, PROT_READ | PROT_WRITE) == -1) {
		give_back(block);
		return NULL;
	}
	int before = errno;
	lock(block);
	errno = before;
	blocks[block].size = size;
	char *bytes = page_of(block) + page - size;
	memcpy(bytes - CANARY, canary, CANARY);
	memset(bytes, GARBAGE, size);
	atomic_fetch_add_explicit(&handed_out, 1, memory_order_relaxed);
	return bytes;
}

static void find_libsodium(void);

static void *pool_malloc(size_t size) {
	void *bytes = allocate(size);
	if (bytes)
		return bytes;
	find_libsodium();
	if (libsodium.malloc)
		return libsodium.malloc(size);
	errno = ENOMEM;
	return NULL;
}

static void *pool_allocarray(size_t count, size_t size) {
	size_t total;
	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return pool_malloc(total);
}

static void pool_free(void *pointer) {
	if (!pointer)
		return;
	int block = block_of(pointer);
	if (block == NONE) {
		find_libsodium();
		libsodium.free(pointer);
		return;
	}
	if (protect(block, PROT_READ | PROT_WRITE) == -1)
		die("fastcurve: the memory of a block cannot be wiped\n");
	if (memcmp((char *) pointer - CANARY, canary, CANARY) != 0)
		die("fastcurve: something has written before the beginning of a block\n");
	explicit_bzero(page_of(block), page);
	protect(block, PROT_NONE); // cannot fail: no more mappings are needed than before
	give_back(block);
}

static int pool_noaccess(void *pointer) {
	find_libsodium();
	int block = block_of(pointer);
	return block == NONE ? libsodium.noaccess(pointer) : protect(block, PROT_NONE);
}

static int pool_readonly(void *pointer) {
	find_libsodium();
	int block = block_of(pointer);
	return block == NONE ? libsodium.readonly(pointer) : protect(block, PROT_READ);
}

static int pool_readwrite(void *pointer) {
	find_libsodium();
	int block = block_of(pointer);
	return block == NONE ? libsodium.readwrite(pointer) : protect(block, PROT_READ | PROT_WRITE);
}

// The names that other libraries find. The linker exports them from the program, because libzmq
// refers to them. They are weak, so that a program with libsodium.a links: libsodium's own count
// there.
#define IN_PLACE_OF(function) __attribute__((weak, visibility("default"), alias(#function)))
IN_PLACE_OF(pool_malloc) void *sodium_malloc(size_t size);
IN_PLACE_OF(pool_allocarray) void *sodium_allocarray(size_t count, size_t size);
IN_PLACE_OF(pool_free) void sodium_free(void *pointer);
IN_PLACE_OF(pool_noaccess) int sodium_mprotect_noaccess(void *pointer);
IN_PLACE_OF(pool_readonly) int sodium_mprotect_readonly(void *pointer);
IN_PLACE_OF(pool_readwrite) int sodium_mprotect_readwrite(void *pointer);

// The six names, what they are here, and where the next definition goes.
static const struct {
	const char *name;
	void *here;
	void *next;
} names[] = {
	{"sodium_malloc", pool_malloc, &libsodium.malloc},
	{"sodium_allocarray", pool_allocarray, NULL},
	{"sodium_free", pool_free, &libsodium.free},
	{"sodium_mprotect_noaccess", pool_noaccess, &libsodium.noaccess},
	{"sodium_mprotect_readonly", pool_readonly, &libsodium.readonly},
	{"sodium_mprotect_readwrite", pool_readwrite, &libsodium.readwrite},
};
enum { NAMES = sizeof names / sizeof *names };

// Finds the definitions that come after those of this file. They are found when the program begins,
// or when another library's constructor is before that.
static void find_libsodium(void) {
	if (libsodium.readwrite)
		return;
	for (int i = 0; i < NAMES; i++) {
		void *next = dlsym(RTLD_NEXT, names[i].name);
		if (names[i].next)
			memcpy(names[i].next, &next, sizeof next);
	}
}

// Tells whether other libraries find all that is here, and libsodium is behind it. If they found
// some of it, they could give a block of the pool to a function that does not know it.
static int all_found(void) {
	for (int i = 0; i < NAMES; i++) {
		if (dlsym(RTLD_DEFAULT, names[i].name) != names[i].here || !dlsym(RTLD_NEXT, names[i].name))
			return 0;
	}
	return 1;
}

// Makes the pool before the program begins. Where something is missing there is no pool, and all
// calls are passed on.
__attribute__((constructor)) static void start(void) {
	find_libsodium(); // now, while there are no other threads
	const char *wanted = secure_getenv("ZMQAUTH_FASTCURVE");
	if ((wanted && strcmp(wanted, "off") == 0) || !all_found())
		return;
	page = (size_t) sysconf(_SC_PAGESIZE);
	if (getrandom(canary, CANARY, 0) != CANARY)
		return;
	size_t size = page * (1 + 2 * FASTCURVE_BLOCKS);
	void *all = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		return;
	madvise(all, size, MADV_DONTDUMP); // an old kernel may not know it, as with libsodium
	pool = all;
}

int fastcurve_on(void) { return pool != NULL; }
uint64_t fastcurve_handed_out(void) { return atomic_load(&handed_out); }
void *fastcurve_allocarray(void) { return pool_allocarray; }
void *fastcurve_free(void) { return pool_free; }
