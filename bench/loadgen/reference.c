#include "zap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ZAP_ENDPOINT "inproc://zeromq.zap.01"

// How long the thread may take to notice a stop. A message could not wake it: the context may have
// ended by then.
enum { STOP_INTERVAL_MS = 20 };

struct loadgen_reference {
	void *socket;
	pthread_t thread;
	atomic_bool stopping;
	int error; // that ended the thread
};

// The frames of a request that come back in the reply: the routing id, the empty delimiter, the
// version and the request id. Of the others, the mechanism and the first credential count.
enum { ROUTING_ID, DELIMITER, VERSION, REQUEST_ID, HEADER_FRAMES, MECHANISM = 7, CREDENTIAL, KEPT_FRAMES };

enum { KEY_BYTES = 32 };

typedef struct {
	zmq_msg_t kept[KEPT_FRAMES];
	zmq_msg_t rest;
	int frames;
} request;

static int receive_request(void *socket, request *r) {
	int more = 1;
	for (r->frames = 0; more; r->frames++) {
		zmq_msg_t *frame = r->frames < KEPT_FRAMES ? &r->kept[r->frames] : &r->rest;
		while (zmq_msg_recv(frame, socket, 0) == -1) {
			if (errno != EINTR)
				return errno;
		}
		more = zmq_msg_more(frame);
	}
	return 0;
}

static int send_frame(void *socket, zmq_msg_t *frame) {
	while (zmq_msg_send(frame, socket, ZMQ_SNDMORE) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static int send_text(void *socket, const char *text, size_t size, int flags) {
	while (zmq_send(socket, text, size, flags) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static bool has_key(request *r) {
	return zmq_msg_size(&r->kept[MECHANISM]) == 5 && memcmp(zmq_msg_data(&r->kept[MECHANISM]), "CURVE", 5) == 0 &&
	       zmq_msg_size(&r->kept[CREDENTIAL]) == KEY_BYTES;
}

// The user id is the first credential: a user name or a principal as it is, a key in Z85.
static int send_user_id(void *socket, request *r) {
	if (r->frames < KEPT_FRAMES)
		return send_text(socket, "", 0, ZMQ_SNDMORE);
	if (!has_key(r))
		return send_text(socket, zmq_msg_data(&r->kept[CREDENTIAL]), zmq_msg_size(&r->kept[CREDENTIAL]), ZMQ_SNDMORE);
	char text[LOADGEN_KEY_SIZE];
	zmq_z85_encode(text, zmq_msg_data(&r->kept[CREDENTIAL]), KEY_BYTES);
	return send_text(socket, text, sizeof text - 1, ZMQ_SNDMORE);
}

static int send_acceptance(void *socket, request *r) {
	int error = 0;
	for (int i = 0; !error && i < HEADER_FRAMES; i++)
		error = send_frame(socket, &r->kept[i]);
	if (!error)
		error = send_text(socket, "200", 3, ZMQ_SNDMORE);
	if (!error)
		error = send_text(socket, "OK", 2, ZMQ_SNDMORE);
	if (!error)
		error = send_user_id(socket, r);
	if (!error)
		error = send_text(socket, "", 0, 0);
	return error;
}

static void *serve(void *argument) {
	loadgen_reference *reference = argument;
	request r;
	for (int i = 0; i < KEPT_FRAMES; i++)
		zmq_msg_init(&r.kept[i]);
	zmq_msg_init(&r.rest);
	int error = 0;
	while (!error && !atomic_load_explicit(&reference->stopping, memory_order_relaxed)) {
		error = receive_request(reference->socket, &r);
		if (!error)
			error = send_acceptance(reference->socket, &r);
		else if (error == EAGAIN)
			error = 0;
	}
	for (int i = 0; i < KEPT_FRAMES; i++)
		zmq_msg_close(&r.kept[i]);
	zmq_msg_close(&r.rest);
	zmq_unbind(reference->socket, ZAP_ENDPOINT); // close alone would free the endpoint later
	zmq_close(reference->socket);
	reference->error = error == ETERM ? 0 : error;
	return NULL;
}

static int bind_handler(void *socket) {
	int none = 0, interval = STOP_INTERVAL_MS;
	if (zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &interval, sizeof interval) == -1 ||
	    zmq_bind(socket, ZAP_ENDPOINT) == -1)
		return errno;
	return 0;
}

int loadgen_reference_start(void *context, loadgen_reference **out) {
	loadgen_reference *reference = calloc(1, sizeof *reference);
	if (!reference)
		return ENOMEM;
	reference->socket = zmq_socket(context, ZMQ_ROUTER);
	if (!reference->socket) {
		int error = errno;
		free(reference);
		return error;
	}
	int error = bind_handler(reference->socket);
	if (!error)
		error = pthread_create(&reference->thread, NULL, serve, reference);
	if (error) {
		zmq_close(reference->socket);
		free(reference);
		return error;
	}
	*out = reference;
	return 0;
}

int loadgen_reference_stop(loadgen_reference *reference) {
	atomic_store(&reference->stopping, true);
	int error = pthread_join(reference->thread, NULL);
	if (!error)
		error = reference->error;
	free(reference);
	return error;
}
