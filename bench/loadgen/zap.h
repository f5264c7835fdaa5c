// Both ends of the ZAP endpoint in C: a client that sends requests as fast as the replies come, and
// a handler that accepts everybody. Also both ends of TCP connections whose handshakes a handler
// decides.
#ifndef LOADGEN_ZAP_H
#define LOADGEN_ZAP_H

#include <stdint.h>

enum { LOADGEN_STATUSES = 1000 };

// Functions that return int return 0 or an errno: EAGAIN if a reply did not come in time, EPROTO if
// a reply violates RFC 27.

// What loadgen_run sends. An order without requests only asks for the processor time of the report.
typedef struct {
	uint32_t in_flight, requests, timeout_ms;
	uint32_t frames; // number of frames of the request
	uint32_t vary;   // not 0: the last frame of each request begins with a different number of 4 bytes
	uint32_t beside; // number of frames of another request, sent one at a time meanwhile; 0: none
	uint32_t apart;  // not 0: each request in flight has its own connection, as with libzmq
} loadgen_order;

typedef struct {
	uint64_t nanoseconds;
	uint64_t beside_worst;    // longest time from a request beside to its reply, in nanoseconds
	uint32_t beside_requests; // number of requests beside that were answered
	uint32_t beside_accepted;
	uint32_t by_status[LOADGEN_STATUSES]; // number of replies with each status code
} loadgen_result;

// Sends the requests and waits for the replies. The bytes are the frames of the request, and then
// those of the request beside. The sizes are those of the frames.
int loadgen_run(void *context, const loadgen_order *order, const uint32_t *sizes,
                const uint8_t *bytes, loadgen_result *result);

// The first output of loadgen_serve: its endpoints that echo messages, one for each mechanism.
enum { LOADGEN_NULL, LOADGEN_PLAIN, LOADGEN_CURVE, LOADGEN_MECHANISMS };
enum { LOADGEN_ENDPOINT_SIZE = 64, LOADGEN_KEY_SIZE = 41 };

typedef struct {
	char endpoints[LOADGEN_MECHANISMS][LOADGEN_ENDPOINT_SIZE];
	char server_key[LOADGEN_KEY_SIZE]; // Z85
} loadgen_hello;

// The answer of loadgen_serve to each order. An order is followed by the sizes and the bytes of its
// frames. Everything is in the byte order of the machine.
typedef struct {
	int64_t error;            // of loadgen_run
	uint64_t cpu_nanoseconds; // processor time of the process until now, user and system
	loadgen_result result;
} loadgen_report;

// Runs orders from the input until it ends, and binds sockets of the ZAP domain that echo messages.
// EPROTO means that the input is not an order.
int loadgen_serve(void *context, const char *domain, int in, int out);

// Binds the sockets and echoes messages from a thread of its own until it is stopped. It must be
// stopped before the context ends.
typedef struct loadgen_echo loadgen_echo;
int loadgen_echo_start(void *context, const char *domain, loadgen_hello *hello, loadgen_echo **echo);
int loadgen_echo_stop(loadgen_echo *echo);

// A client of an echo endpoint. Fields that its mechanism does not need are NULL. Keys are Z85.
typedef struct {
	const char *endpoint;
	const char *username, *password;
	const char *server_key, *public_key, *secret_key;
	int apart; // each connection comes from a loopback address of its own
} loadgen_client;

// Does that many handshakes, in_flight at once. Each has a socket of its own, which is closed when
// its message has come back.
int loadgen_handshakes(void *context, const loadgen_client *client, int in_flight, int handshakes,
                       int timeout_ms, uint64_t *nanoseconds);

// Binds the ZAP endpoint and answers from a thread of its own until it is stopped or the context
// ends.
typedef struct loadgen_reference loadgen_reference;
int loadgen_reference_start(void *context, loadgen_reference **reference);
int loadgen_reference_stop(loadgen_reference *reference);

// CLOCK_MONOTONIC in nanoseconds.
uint64_t loadgen_now(void);

#endif
