// The ZAP handler's side of libzmq: whole requests in, whole replies out, one crossing from Go for each.
#ifndef ZMQAUTH_HANDLER_H
#define ZMQAUTH_HANDLER_H

#include <stddef.h>
#include <stdint.h>

enum {
	ZAP_BATCH = 64,              // requests that one receive brings at most
	ZAP_MAX_FRAMES = 24,         // of one message; libzmq's own have at most 10
	ZAP_MAX_BYTES = 64 * 1024,   // of one message; libzmq's own have some hundred
	ZAP_BUFFER = 4 * ZAP_MAX_BYTES,
};

// One message. Its frames lie one after the other in the batch's bytes.
typedef struct {
	uint32_t offset;
	uint32_t frames;             // how many of sizes hold
	uint32_t truncated;          // more frames or bytes came than are kept
	uint32_t sizes[ZAP_MAX_FRAMES];
} zap_message;

typedef struct {
	void *socket;
	int events;                  // readable when something has happened to the socket since it was last used
	int wake_read, wake_write;   // the control pipe; neither end ever blocks
	uint32_t count;
	uint32_t used;
	zap_message messages[ZAP_BATCH];
	uint8_t bytes[ZAP_BUFFER];
} zap_handler;

// All return 0 for success, else an errno, and never EINTR. Nor EAGAIN: without limits on its queues a ROUTER takes or
// drops every frame, so that no half message stays behind.
int zap_handler_new(void *socket, zap_handler **handler);
int zap_receive(zap_handler *handler);
int zap_send(zap_handler *handler, const uint8_t *bytes, const uint32_t *sizes, const uint32_t *frames, int messages);
void zap_handler_free(zap_handler *handler);

int zap_set_int(void *socket, int option, int value);

#endif
