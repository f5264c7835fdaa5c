#include "handler.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

// Makes an end of the control pipe non-blocking, and keeps it from child processes.
static int set_flags(int fd) {
	int flags = fcntl(fd, F_GETFL);
	if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1
			|| fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return errno;
	return 0;
}

int zap_handler_new(void *socket, zap_handler **out) {
	zap_handler *handler = calloc(1, sizeof *handler);
	if (!handler)
		return ENOMEM;
	handler->socket = socket;
	int ends[2];
	size_t size = sizeof handler->events;
	if (zmq_getsockopt(socket, ZMQ_FD, &handler->events, &size) == -1 || pipe(ends) == -1) {
		int error = errno;
		free(handler);
		return error;
	}
	handler->wake_read = ends[0];
	handler->wake_write = ends[1];
	int error = set_flags(ends[0]);
	if (!error)
		error = set_flags(ends[1]);
	if (error) {
		zap_handler_free(handler);
		return error;
	}
	*out = handler;
	return 0;
}

void zap_handler_free(zap_handler *handler) {
	close(handler->wake_read);
	close(handler->wake_write);
	free(handler);
}

// Receives one message, or returns EAGAIN if there is none. The frames of a message arrive
// together: only the first can be missing.
static int receive_message(zap_handler *handler, zmq_msg_t *frame) {
	zap_message *message = &handler->messages[handler->count];
	message->offset = handler->used;
	message->frames = 0;
	message->truncated = 0;
	size_t kept = 0;
	int more = 1;
	for (int first = 1; more; first = 0) {
		while (zmq_msg_recv(frame, handler->socket, first ? ZMQ_DONTWAIT : 0) == -1) {
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
	handler->used += (uint32_t) kept;
	handler->count++;
	return 0;
}

// Receives messages until there are none, until the buffer might be too small for the next one, or
// until there are limit messages.
static int receive_ready(zap_handler *handler, uint32_t limit) {
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	int error = 0;
	while (!error && handler->count < limit && handler->used + ZAP_MAX_BYTES <= ZAP_BUFFER)
		error = receive_message(handler, &frame);
	zmq_msg_close(&frame);
	return error == EAGAIN ? 0 : error;
}

// Reads all bytes from a descriptor.
static void drain(int fd) {
	char bytes[64];
	ssize_t n;
	do
		n = read(fd, bytes, sizeof bytes);
	while (n > 0 || (n == -1 && errno == EINTR));
}

// Waits for an event on the socket or for a wake-up. This takes fewer system calls than zmq_poll.
// It is correct only after a receive that found nothing: every later event makes the descriptor
// readable.
static int wait_for_events(zap_handler *handler) {
	struct pollfd items[] = {{handler->events, POLLIN, 0}, {handler->wake_read, POLLIN, 0}};
	while (poll(items, 2, -1) == -1) {
		if (errno != EINTR)
			return errno;
	}
	if (items[1].revents)
		drain(handler->wake_read);
	return 0;
}

// Receives the messages that are there and fit into the buffer. If there are none it waits for a
// message or a wake-up, and receives one message at most: to look for more would take two system
// calls while a client waits for the reply.
int zap_receive(zap_handler *handler) {
	handler->count = 0;
	handler->used = 0;
	int error = receive_ready(handler, ZAP_BATCH);
	if (error || handler->count > 0)
		return error;
	error = wait_for_events(handler);
	return error ? error : receive_ready(handler, 1);
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
