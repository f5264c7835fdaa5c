#include "zap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

enum { REPLY_FRAMES = 7, STATUS_FRAME = 3 }; // the empty delimiter is frame 0

enum { MAX_VARIED = 256 }; // the greatest size of a frame that varies

typedef struct {
	const uint8_t *bytes;
	const uint32_t *sizes;
	uint32_t frames;
	bool vary;
} request;

static int send_frame(void *socket, const void *bytes, size_t size, int flags) {
	while (zmq_send(socket, bytes, size, flags) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static int send_request(void *socket, const request *r, uint32_t number) {
	const uint8_t *bytes = r->bytes;
	int error = 0;
	for (uint32_t i = 0; !error && i < r->frames; i++) {
		bool last = i + 1 == r->frames;
		if (last && r->vary) {
			uint8_t varied[MAX_VARIED];
			memcpy(varied, bytes, r->sizes[i]);
			memcpy(varied, &number, sizeof number);
			return send_frame(socket, varied, r->sizes[i], 0);
		}
		error = send_frame(socket, bytes, r->sizes[i], last ? 0 : ZMQ_SNDMORE);
		bytes += r->sizes[i];
	}
	return error;
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

static int receive_reply(void *socket, zmq_msg_t *frame, uint32_t *by_status) {
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
	by_status[status]++;
	return 0;
}

// Requests go over the sockets in turn. Their replies are received in the same order.
static int exchange(void **sockets, uint32_t count, const request *r, const loadgen_order *order, uint32_t *by_status) {
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	int error = 0;
	uint32_t sent = 0;
	for (; !error && sent < order->in_flight && sent < order->requests; sent++)
		error = send_request(sockets[sent % count], r, sent);
	for (uint32_t received = 0; !error && received < order->requests; received++) {
		error = receive_reply(sockets[received % count], &frame, by_status);
		if (!error && sent < order->requests) {
			error = send_request(sockets[sent % count], r, sent);
			sent++;
		}
	}
	zmq_msg_close(&frame);
	return error;
}

// The queues have no limits, so that no reply is dropped. Nothing waits for ever.
static int connect_client(void *context, uint32_t timeout, void **out) {
	int none = 0, timeout_ms = (int) timeout;
	void *socket = *out = zmq_socket(context, ZMQ_DEALER);
	if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms) == -1 ||
	    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms) == -1 ||
	    zmq_connect(socket, ZAP_ENDPOINT) == -1)
		return errno;
	return 0;
}

uint64_t loadgen_now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static int run_alone(void *context, const request *r, const loadgen_order *order, loadgen_result *result) {
	uint32_t count = order->apart ? order->in_flight : 1;
	void **sockets = calloc(count, sizeof *sockets);
	if (!sockets)
		return ENOMEM;
	int error = 0;
	for (uint32_t i = 0; !error && i < count; i++)
		error = connect_client(context, order->timeout_ms, &sockets[i]);
	if (!error) {
		uint64_t start = loadgen_now();
		error = exchange(sockets, count, r, order, result->by_status);
		result->nanoseconds = loadgen_now() - start;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (sockets[i])
			zmq_close(sockets[i]);
	}
	free(sockets);
	return error;
}

// The client beside the others. It sends one request after the other in a thread of its own.
typedef struct {
	void *context;
	request request;
	loadgen_order order;
	loadgen_result result; // of its last request
	uint64_t worst;
	uint32_t requests, accepted;
	int error;
	atomic_bool stopping;
} companion;

static void *accompany(void *argument) {
	companion *c = argument;
	do { // once at least, however late this thread runs
		memset(&c->result, 0, sizeof c->result);
		c->error = run_alone(c->context, &c->request, &c->order, &c->result);
		if (c->result.nanoseconds > c->worst)
			c->worst = c->result.nanoseconds;
		c->requests++;
		c->accepted += c->result.by_status[200];
	} while (!c->error && !atomic_load(&c->stopping));
	return NULL;
}

static int run_accompanied(void *context, const request *r, const request *beside, const loadgen_order *order,
                           loadgen_result *result) {
	companion c = {.context = context, .request = *beside, .order = *order};
	c.order.in_flight = c.order.requests = 1;
	c.order.apart = 0;
	pthread_t thread;
	int error = pthread_create(&thread, NULL, accompany, &c);
	if (error)
		return error;
	error = run_alone(context, r, order, result);
	atomic_store(&c.stopping, true);
	pthread_join(thread, NULL);
	result->beside_worst = c.worst;
	result->beside_requests = c.requests;
	result->beside_accepted = c.accepted;
	return error ? error : c.error;
}

int loadgen_run(void *context, const loadgen_order *order, const uint32_t *sizes, const uint8_t *bytes, loadgen_result *result) {
	memset(result, 0, sizeof *result);
	const request r = {bytes, sizes, order->frames, order->vary != 0};
	if (r.vary && (r.frames == 0 || sizes[r.frames - 1] < sizeof(uint32_t) || sizes[r.frames - 1] > MAX_VARIED))
		return EPROTO;
	if (order->beside == 0)
		return run_alone(context, &r, order, result);
	for (uint32_t i = 0; i < order->frames; i++)
		bytes += sizes[i];
	const request beside = {bytes, sizes + order->frames, order->beside, false};
	return run_accompanied(context, &r, &beside, order, result);
}
