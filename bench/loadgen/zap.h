// Both ends of the ZAP endpoint in C: a client that asks as fast as it is answered, and a handler that accepts everybody.
#ifndef LOADGEN_ZAP_H
#define LOADGEN_ZAP_H

#include <stdint.h>

enum { LOADGEN_STATUSES = 1000 };

typedef struct {
	uint64_t nanoseconds;
	uint32_t by_status[LOADGEN_STATUSES]; // how many replies had that status code
} loadgen_result;

typedef struct loadgen_reference loadgen_reference;

// All return 0 for success, else an errno: EAGAIN where a reply did not come in time, EPROTO for one that breaks RFC 27.

// Sends that many requests, in_flight of them at once, and waits for the replies. A request is the frames whose sizes
// those are, one after the other in bytes.
int loadgen_run(void *context, const uint8_t *bytes, const uint32_t *sizes, int frames, int in_flight, int requests,
                int timeout_ms, loadgen_result *result);

// What a process that only has a handler gets from its input, with the sizes of the frames and the frames behind it, and
// what it answers, both in the byte order of the machine.
typedef struct {
	uint32_t in_flight, requests, timeout_ms, frames;
} loadgen_order;

typedef struct {
	int64_t error; // of loadgen_run
	loadgen_result result;
} loadgen_report;

// Runs what is ordered until the input ends. EPROTO: what came is no order.
int loadgen_serve(void *context, int in, int out);

// Binds the ZAP endpoint and answers from a thread of its own until the stop or the end of the context.
int loadgen_reference_start(void *context, loadgen_reference **reference);
int loadgen_reference_stop(loadgen_reference *reference);

#endif
