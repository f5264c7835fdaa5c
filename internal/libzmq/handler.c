#include "handler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

int zap_handler_new(void *socket, const char *waker, size_t waker_size, zap_handler **out) {
	zap_handler *handler = calloc(1, sizeof *handler);
	if (!handler)
		return ENOMEM;
	handler->socket = socket;
	handler->waker_size = (uint32_t) waker_size;
	memcpy(handler->waker, waker, waker_size);
	*out = handler;
	return 0;
}

// Tells whether a message only wakes: an empty one of the waker.
static int is_wake(const zap_handler *handler, const zap_message *message) {
	return message->frames == 2 && message->sizes[1] == 0 && handler->waker_size > 0
			&& message->sizes[0] == handler->waker_size
			&& memcmp(handler->bytes + message->offset, handler->waker, handler->waker_size) == 0;
}

// Receives one message. If there is none it waits, or returns EAGAIN with ZMQ_DONTWAIT as flags.
// The frames of a message arrive together: only the first can be missing.
static int receive_message(zap_handler *handler, zmq_msg_t *frame, int flags) {
	zap_message *message = &handler->messages[handler->count];
	message->offset = handler->used;
	message->frames = 0;
	message->truncated = 0;
	size_t kept = 0;
	int more = 1;
	for (int first = 1; more; first = 0) {
		while (zmq_msg_recv(frame, handler->socket, first ? flags : 0) == -1) {
			if (errno != EINTR)
				return errno;
		}
		size_t size = zmq_msg_size(frame);
		if (message->frames == ZAP_MAX_FRAMES || size > ZAP_MAX_BYTES - kept) {
			message->truncated = 1;
		} else if (!message->truncated) {
			memcpy(handler->bytes + handler->used + kept, zmq_msg_data(frame), size);
			message->sizes[message->frames++] = (uint32_t) size;
			kept += size;
		}
		more = zmq_msg_more(frame);
	}
	if (is_wake(handler, message)) {
		handler->woken = 1;
		return 0;
	}
	handler->used += (uint32_t) kept;
	handler->count++;
	return 0;
}

enum {
	ALONE = 4,  // after so many receives of one message nobody looks for a second one
	AGAIN = 16, // but after so many more
};

// Tells whether to look for more than one message. In vain that takes a system call, while a client
// waits for the reply. After a wake alone it is known then that there is nothing. A socket without
// a waker has no clients.
static int looks_for_more(zap_handler *handler) {
	if (handler->count == 0 || handler->waker_size == 0)
		return 1;
	if (handler->alone == ALONE + AGAIN)
		handler->alone = ALONE - 1;
	return handler->alone++ < ALONE;
}

// Waits for a message, and receives it and those that are there besides, as long as the buffer is
// large enough for any. To wait in libzmq takes fewer system calls than to wait beside it.
int zap_receive(zap_handler *handler) {
	handler->count = 0;
	handler->used = 0;
	handler->woken = 0;
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	int error = receive_message(handler, &frame, 0);
	if (!error && looks_for_more(handler)) {
		while (!error && handler->count < ZAP_BATCH
				&& handler->used + ZAP_MAX_BYTES <= ZAP_BUFFER) {
			error = receive_message(handler, &frame, ZMQ_DONTWAIT);
			if (!error)
				handler->alone = 0;
		}
	}
	zmq_msg_close(&frame);
	return error == EAGAIN ? 0 : error;
}

static int send_message(void *socket, const uint8_t *bytes, const uint32_t *sizes,
		uint32_t frames) {
	for (uint32_t i = 0; i < frames; i++) {
		int flags = ZMQ_DONTWAIT | (i + 1 < frames ? ZMQ_SNDMORE : 0);
		while (zmq_send(socket, bytes, sizes[i], flags) == -1) {
			if (errno != EINTR)
				return errno;
		}
		bytes += sizes[i];
	}
	return 0;
}

// Sends all messages, even after one has failed. Returns the first error. gone, unless it is NULL,
// says of each message whether its peer had gone, which is no error.
int zap_send(zap_handler *handler, const uint8_t *bytes, const uint32_t *sizes,
		const uint32_t *frames, int messages, uint8_t *gone) {
	int first = 0;
	for (int i = 0; i < messages; i++) {
		int error = send_message(handler->socket, bytes, sizes, frames[i]);
		if (gone)
			gone[i] = error == EHOSTUNREACH;
		if (error == EHOSTUNREACH)
			error = 0;
		if (!first)
			first = error;
		for (uint32_t j = 0; j < frames[i]; j++)
			bytes += *sizes++;
	}
	return first;
}

int zap_set_int(void *socket, int option, int value) {
	while (zmq_setsockopt(socket, option, &value, sizeof value) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}
