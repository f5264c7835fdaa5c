// libsodium's guarded memory, as a library finds it that is loaded into the program.
#ifndef TESTSODIUM_H
#define TESTSODIUM_H

#include <stddef.h>
#include <stdint.h>

// The functions are those that any library finds, or libsodium's own.
enum { TESTSODIUM_FOUND, TESTSODIUM_OWN };

// Returns the address of a function, or NULL.
void *testsodium_function(const char *name, int whose);

void *testsodium_malloc(void *function, size_t size);
void *testsodium_allocarray(void *function, size_t count, size_t size);
void testsodium_free(void *function, void *pointer);
int testsodium_protect(void *function, void *pointer);

// Allocates and frees that many blocks, one after the other. Returns nanoseconds.
uint64_t testsodium_loop(void *allocate, void *release, size_t size, int times);

// Forks. The child writes to the pointer, frees it, and holds that many new blocks while it reads
// how much memory it has locked. Returns that, in KiB, or -1 if the child did not end well.
int testsodium_fork(void *allocate, void *release, void *pointer, int blocks);

#endif
