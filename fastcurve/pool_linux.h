// Guarded memory in place of libsodium's. fastcurve.go says what it is for.
#ifndef ZMQAUTH_POOL_H
#define ZMQAUTH_POOL_H

#include <stddef.h>
#include <stdint.h>

enum { FASTCURVE_BLOCKS = 128 }; // of one page each; a multiple of 64

// Whether libzmq's calls end here.
int fastcurve_active(void);

// How many blocks the pool has handed out since the program began.
uint64_t fastcurve_handed_out(void);

// What the rest is told of the pool: whether it takes part, and the addresses of its functions.
int fastcurve_on(void);
void *fastcurve_allocarray(void);
void *fastcurve_free(void);

#endif
