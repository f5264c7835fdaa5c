// Sockets of the ZAP handler: one call receives many whole requests or sends many whole replies, so
// that Go crosses into C once for all of them.
#ifndef ZMQAUTH_HANDLER_H
#define ZMQAUTH_HANDLER_H

#include <stddef.h>
#include <stdint.h>

enum {
	ZAP_BATCH = 64,              // requests per receive, at most
	ZAP_MAX_FRAMES = 24,         // of one message; libzmq's requests have at most 10
	ZAP_MAX_BYTES = 64 * 1024,   // of one message; libzmq's requests have some hundred
	ZAP_BUFFER = 4 * ZAP_MAX_BYTES,
	ZAP_WAKER = 64,              // bytes of a routing id, at most
};

// One message. Its frames lie one after the other in the bytes of the handler.
typedef struct {
	uint32_t offset;             // of the first frame
	uint32_t frames;             // how many of the sizes are set
	uint32_t truncated;          // the message had more frames or bytes than are kept
	uint32_t sizes[ZAP_MAX_FRAMES];
} zap_message;

typedef struct {
	void *socket;
	uint8_t waker[ZAP_WAKER];    // the routing id of the socket whose messages only wake
	uint32_t waker_size;         // 0: there is none
	uint32_t woken;              // a message of the waker has come
	uint32_t alone;              // receives that found one message at a time
	uint32_t count;              // of messages
	uint32_t used;               // of bytes
	zap_message messages[ZAP_BATCH];
	uint8_t bytes[ZAP_BUFFER];
} zap_handler;

// All functions return 0, or an errno that is never EINTR and never EAGAIN. A ROUTER whose queues
// have no limits sends or drops every frame at once, so that no half-sent message remains.
int zap_handler_new(void *socket, const char *waker, size_t waker_size, zap_handler **handler);
int zap_receive(zap_handler *handler);
int zap_send(zap_handler *handler, const uint8_t *bytes, const uint32_t *sizes,
		const uint32_t *frames, int messages, uint8_t *gone);

int zap_set_int(void *socket, int option, int value);

#endif
