#include "zap.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

enum { REPLY_FRAMES = 7, STATUS_FRAME = 3 }; // the empty delimiter is frame 0

typedef struct {
	const uint8_t *bytes;
	const uint32_t *sizes;
	int frames;
} request;

static int send_request(void *socket, const request *r) {
	const uint8_t *bytes = r->bytes;
	for (int i = 0; i < r->frames; i++) {
		while (zmq_send(socket, bytes, r->sizes[i], i + 1 < r->frames ? ZMQ_SNDMORE : 0) == -1) {
			if (errno != EINTR)
				return errno;
		}
		bytes += r->sizes[i];
	}
	return 0;
}

// A status code has three digits (RFC 27).
static int parse_status(zmq_msg_t *frame) {
	const uint8_t *digits = zmq_msg_data(frame);
	if (zmq_msg_size(frame) != 3)
		return -1;
	int status = 0;
	for (int i = 0; i < 3; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return -1;
		status = status * 10 + digits[i] - '0';
	}
	return status;
}

static int receive_reply(void *socket, zmq_msg_t *frame, loadgen_result *result) {
	int frames = 0, status = -1, more = 1;
	while (more) {
		while (zmq_msg_recv(frame, socket, 0) == -1) {
			if (errno != EINTR)
				return errno;
		}
		if (frames == STATUS_FRAME)
			status = parse_status(frame);
		frames++;
		more = zmq_msg_more(frame);
	}
	if (frames != REPLY_FRAMES || status < 0)
		return EPROTO;
	result->by_status[status]++;
	return 0;
}

static int exchange(void *socket, const request *r, int in_flight, int requests, loadgen_result *result) {
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	int error = 0, sent = 0;
	while (!error && sent < in_flight && sent < requests) {
		error = send_request(socket, r);
		sent++;
	}
	for (int received = 0; !error && received < requests; received++) {
		error = receive_reply(socket, &frame, result);
		if (!error && sent < requests) {
			error = send_request(socket, r);
			sent++;
		}
	}
	zmq_msg_close(&frame);
	return error;
}

// Without limits on the queues, so that a reply is never dropped at one, and without anything that could wait for ever.
static int connect_client(void *socket, int timeout_ms) {
	int none = 0;
	if (zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms) == -1 ||
	    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms) == -1 ||
	    zmq_connect(socket, ZAP_ENDPOINT) == -1)
		return errno;
	return 0;
}

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

int loadgen_run(void *context, const uint8_t *bytes, const uint32_t *sizes, int frames, int in_flight, int requests,
                int timeout_ms, loadgen_result *result) {
	memset(result, 0, sizeof *result);
	void *socket = zmq_socket(context, ZMQ_DEALER);
	if (!socket)
		return errno;
	int error = connect_client(socket, timeout_ms);
	if (!error) {
		const request r = {bytes, sizes, frames};
		uint64_t start = now();
		error = exchange(socket, &r, in_flight, requests, result);
		result->nanoseconds = now() - start;
	}
	zmq_close(socket);
	return error;
}
