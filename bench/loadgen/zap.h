// Both ends of the ZAP endpoint in C: a client that asks as fast as it is answered, and a handler that accepts everybody.
// Beside them both ends of a connection over TCP whose handshake a handler decides.
#ifndef LOADGEN_ZAP_H
#define LOADGEN_ZAP_H

#include <stdint.h>

enum { LOADGEN_STATUSES = 1000 };

// All that return int return 0 for success, else an errno: EAGAIN where a reply did not come in time, EPROTO for one that
// breaks RFC 27.

// What loadgen_run is to ask. The same with no requests asks for the report's processor time alone.
typedef struct {
	uint32_t in_flight, requests, timeout_ms;
	uint32_t frames; // of the request
	uint32_t vary;   // not 0: the last frame of each request begins with a number of its own, of 4 bytes
	uint32_t beside; // frames of another request, which is asked one at a time while the others are under way; or 0
	uint32_t apart;  // not 0: each request in flight has a connection of its own, as each client of libzmq's has
} loadgen_order;

typedef struct {
	uint64_t nanoseconds;
	uint64_t beside_worst;     // nanoseconds from a request to its reply, of those beside
	uint32_t beside_requests;  // that were asked and answered
	uint32_t beside_accepted;
	uint32_t by_status[LOADGEN_STATUSES]; // how many replies had that status code
} loadgen_result;

// Sends the requests and waits for the replies. The frames of the request, and of that beside it, are one after the other in
// bytes, and have those sizes.
int loadgen_run(void *context, const loadgen_order *order, const uint32_t *sizes, const uint8_t *bytes, loadgen_result *result);

// What a process that only has a handler writes first: where it echoes what comes, each in another mechanism.
enum { LOADGEN_NULL, LOADGEN_PLAIN, LOADGEN_CURVE, LOADGEN_MECHANISMS };
enum { LOADGEN_ENDPOINT_SIZE = 64, LOADGEN_KEY_SIZE = 41 };

typedef struct {
	char endpoints[LOADGEN_MECHANISMS][LOADGEN_ENDPOINT_SIZE];
	char server_key[LOADGEN_KEY_SIZE]; // Z85
} loadgen_hello;

// What it reads then, again and again, is an order with the sizes and the bytes behind it; and what it answers to each is
// this. All is in the byte order of the machine.
typedef struct {
	int64_t error;            // of loadgen_run
	uint64_t cpu_nanoseconds; // of the process until now, both user and system
	loadgen_result result;
} loadgen_report;

// Is such a process, with sockets of that ZAP domain, until the input ends. EPROTO: what came is no order.
int loadgen_serve(void *context, const char *domain, int in, int out);

// Binds the sockets and echoes from a thread of its own until the stop, which must come before the end of the context.
typedef struct loadgen_echo loadgen_echo;
int loadgen_echo_start(void *context, const char *domain, loadgen_hello *hello, loadgen_echo **echo);
int loadgen_echo_stop(loadgen_echo *echo);

// A client of an echo. What its mechanism does not need is NULL. Keys are Z85.
typedef struct {
	const char *endpoint;
	const char *username, *password;
	const char *server_key, *public_key, *secret_key;
} loadgen_client;

// Connects that often, in_flight at once, each with a socket of its own that is closed once its message has come back.
int loadgen_handshakes(void *context, const loadgen_client *client, int in_flight, int handshakes, int timeout_ms,
                       uint64_t *nanoseconds);

// Binds the ZAP endpoint and answers from a thread of its own until the stop or the end of the context.
typedef struct loadgen_reference loadgen_reference;
int loadgen_reference_start(void *context, loadgen_reference **reference);
int loadgen_reference_stop(loadgen_reference *reference);

// CLOCK_MONOTONIC in nanoseconds.
uint64_t loadgen_now(void);

#endif
