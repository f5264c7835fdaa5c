#include "traffic.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum {
	BACKLOG = 4096,
	WINDOW = 200,       // messages that a publisher is ahead of its subscribers, less than what is dropped
	PAUSE_US = 100,     // between two looks of a publisher
	PROBE_MS = 20,      // how long subscribers wait for a message that tells that all are there
};

struct loadgen_traffic {
	void *context;
	int pattern, timeout_ms;
	char endpoint[LOADGEN_ENDPOINT_SIZE];
	void *service;
	void **clients; // sockets
	int sockets, connections;
	char *body;
	// Of a run.
	uint32_t messages;
	size_t size;
	atomic_ullong received; // by subscribers
	atomic_bool stopping;
	int error; // of the thread
};

static const int service_type[] = {ZMQ_PULL, ZMQ_ROUTER, ZMQ_PUB};
// A SUB would have one connection to an endpoint at most.
static const int client_type[] = {ZMQ_PUSH, ZMQ_REQ, ZMQ_XSUB};

static int set_int(void *socket, int option, int value) {
	return zmq_setsockopt(socket, option, &value, sizeof value);
}

// Also for keys: libzmq takes Z85 with or without the terminating zero.
static int set_text(void *socket, int option, const char *text) {
	return text ? zmq_setsockopt(socket, option, text, strlen(text)) : 0;
}

// Subscribers get messages without a limit: none is dropped at either end.
static int open_socket(const loadgen_traffic *t, int type, void **out) {
	void *socket = *out = zmq_socket(t->context, type);
	bool unlimited = t->pattern == TRAFFIC_SUBSCRIBE;
	if (!socket || set_int(socket, ZMQ_LINGER, 0) == -1 || set_int(socket, ZMQ_BACKLOG, BACKLOG) == -1 ||
	    set_int(socket, ZMQ_RCVTIMEO, t->timeout_ms) == -1 || set_int(socket, ZMQ_SNDTIMEO, t->timeout_ms) == -1 ||
	    (unlimited && (set_int(socket, ZMQ_SNDHWM, 0) == -1 || set_int(socket, ZMQ_RCVHWM, 0) == -1)))
		return errno;
	return 0;
}

static int bind_service(loadgen_traffic *t, const char *secret_key) {
	int error = open_socket(t, service_type[t->pattern], &t->service);
	size_t size = sizeof t->endpoint;
	if (!error && ((secret_key && set_int(t->service, ZMQ_CURVE_SERVER, 1) == -1) ||
	               set_text(t->service, ZMQ_CURVE_SECRETKEY, secret_key) == -1 ||
	               zmq_bind(t->service, "tcp://127.0.0.1:*") == -1 ||
	               zmq_getsockopt(t->service, ZMQ_LAST_ENDPOINT, t->endpoint, &size) == -1))
		error = errno;
	return error;
}

int loadgen_traffic_open(void *context, int pattern, const char *secret_key, int timeout_ms, loadgen_traffic **out) {
	loadgen_traffic *t = calloc(1, sizeof *t);
	if (!t)
		return ENOMEM;
	t->context = context;
	t->pattern = pattern;
	t->timeout_ms = timeout_ms;
	int error = bind_service(t, secret_key);
	if (error) {
		loadgen_traffic_close(t);
		return error;
	}
	*out = t;
	return 0;
}

const char *loadgen_traffic_endpoint(const loadgen_traffic *t) { return t->endpoint; }

void loadgen_traffic_close(loadgen_traffic *t) {
	if (!t)
		return;
	for (int i = 0; i < t->sockets; i++) {
		if (t->clients[i])
			zmq_close(t->clients[i]);
	}
	if (t->service)
		zmq_close(t->service);
	free(t->clients);
	free(t->body);
	free(t);
}

// Sends a message of the run's size, or of a smaller one.
static int send_body(void *socket, const void *body, size_t size) {
	while (zmq_send(socket, body, size, 0) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static int receive(void *socket, zmq_msg_t *frame) {
	while (zmq_msg_recv(frame, socket, 0) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

// Receives a message of one frame.
static int receive_body(void *socket, zmq_msg_t *frame, size_t size) {
	int error = receive(socket, frame);
	if (!error && (zmq_msg_more(frame) || zmq_msg_size(frame) != size))
		error = EPROTO;
	return error;
}

// Publishes a numbered message again and again, until all subscribers get the same one. It is the
// last that was sent, so nothing is left.
static int await_subscribers(loadgen_traffic *t) {
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	void *subscriber = t->clients[0];
	int error = send_body(subscriber, "\1", 1);
	if (!error && set_int(subscriber, ZMQ_RCVTIMEO, PROBE_MS) == -1)
		error = errno;
	int got = 0;
	uint64_t start = loadgen_now();
	for (uint32_t number = 1; !error && got < t->connections; number++) {
		if (loadgen_now() - start > (uint64_t) t->timeout_ms * 1000000)
			error = EAGAIN;
		else
			error = send_body(t->service, &number, sizeof number);
		for (got = 0; !error && got < t->connections;) {
			error = receive_body(subscriber, &frame, sizeof number);
			if (!error)
				got += memcmp(zmq_msg_data(&frame), &number, sizeof number) == 0;
		}
		if (error == EAGAIN && got < t->connections && loadgen_now() - start <= (uint64_t) t->timeout_ms * 1000000)
			error = 0;
	}
	zmq_msg_close(&frame);
	if (!error && set_int(subscriber, ZMQ_RCVTIMEO, t->timeout_ms) == -1)
		error = errno;
	return error;
}

// A REQ has one connection. The others have as many as there are clients.
int loadgen_traffic_connect(loadgen_traffic *t, const loadgen_client *client, int clients) {
	int sockets = t->pattern == TRAFFIC_REQUEST ? clients : 1;
	if (t->clients)
		return EINVAL;
	t->clients = calloc((size_t) sockets, sizeof *t->clients);
	if (!t->clients)
		return ENOMEM;
	t->sockets = sockets;
	t->connections = clients;
	for (int i = 0; i < sockets; i++) {
		int error = open_socket(t, client_type[t->pattern], &t->clients[i]);
		if (error)
			return error;
		if (set_text(t->clients[i], ZMQ_CURVE_SERVERKEY, client->server_key) == -1 ||
		    set_text(t->clients[i], ZMQ_CURVE_PUBLICKEY, client->public_key) == -1 ||
		    set_text(t->clients[i], ZMQ_CURVE_SECRETKEY, client->secret_key) == -1)
			return errno;
		for (int j = 0; j < clients / sockets; j++) {
			if (zmq_connect(t->clients[i], client->endpoint) == -1)
				return errno;
		}
	}
	return t->pattern == TRAFFIC_SUBSCRIBE ? await_subscribers(t) : 0;
}

static void *push(void *argument) {
	loadgen_traffic *t = argument;
	for (uint32_t i = 0; !t->error && i < t->messages && !atomic_load(&t->stopping); i++)
		t->error = send_body(t->clients[0], t->body, t->size);
	return NULL;
}

static int pull(loadgen_traffic *t, zmq_msg_t *frame) {
	int error = 0;
	for (uint32_t i = 0; !error && i < t->messages; i++)
		error = receive_body(t->service, frame, t->size);
	return error;
}

static void *publish(void *argument) {
	loadgen_traffic *t = argument;
	for (uint32_t i = 0; !t->error && i < t->messages; i++) {
		while (i >= atomic_load(&t->received) / (unsigned) t->connections + WINDOW) {
			if (atomic_load(&t->stopping))
				return NULL;
			usleep(PAUSE_US);
		}
		t->error = send_body(t->service, t->body, t->size);
	}
	return NULL;
}

static int subscribe(loadgen_traffic *t, zmq_msg_t *frame) {
	int error = 0;
	uint64_t all = (uint64_t) t->messages * (uint64_t) t->connections;
	for (uint64_t i = 0; !error && i < all; i++) {
		error = receive_body(t->clients[0], frame, t->size);
		atomic_store_explicit(&t->received, i + 1, memory_order_relaxed);
	}
	return error;
}

// Echoes the messages of a run, whose first frames are the address.
static void *echo(void *argument) {
	loadgen_traffic *t = argument;
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	for (uint32_t i = 0; !t->error && i < t->messages && !atomic_load(&t->stopping); i++) {
		int more = 1;
		while (!t->error && more) {
			t->error = receive(t->service, &frame);
			more = zmq_msg_more(&frame);
			if (!t->error && zmq_msg_send(&frame, t->service, more ? ZMQ_SNDMORE : 0) == -1)
				t->error = errno;
		}
	}
	zmq_msg_close(&frame);
	return NULL;
}

// Each client has one request under way. Their replies are received in turn.
static int request(loadgen_traffic *t, zmq_msg_t *frame) {
	int error = 0;
	uint32_t sent = 0, clients = (uint32_t) t->sockets;
	for (; !error && sent < t->messages && sent < clients; sent++)
		error = send_body(t->clients[sent], t->body, t->size);
	for (uint32_t got = 0; !error && got < t->messages; got++) {
		error = receive_body(t->clients[got % clients], frame, t->size);
		if (!error && sent < t->messages) {
			error = send_body(t->clients[got % clients], t->body, t->size);
			sent++;
		}
	}
	return error;
}

// What the thread does, and what the caller does meanwhile.
static void *(*const beside[])(void *) = {push, echo, publish};
static int (*const here[])(loadgen_traffic *, zmq_msg_t *) = {pull, request, subscribe};

int loadgen_traffic_run(loadgen_traffic *t, uint32_t messages, size_t size, uint64_t *nanoseconds) {
	char *body = realloc(t->body, size ? size : 1);
	if (!body)
		return ENOMEM;
	memset(body, 'x', size);
	t->body = body;
	t->messages = messages;
	t->size = size;
	t->error = 0;
	atomic_store(&t->received, 0);
	atomic_store(&t->stopping, false);
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	pthread_t thread;
	uint64_t start = loadgen_now();
	int error = pthread_create(&thread, NULL, beside[t->pattern], t);
	if (error)
		return error;
	error = here[t->pattern](t, &frame);
	*nanoseconds = loadgen_now() - start;
	atomic_store(&t->stopping, true);
	pthread_join(thread, NULL);
	zmq_msg_close(&frame);
	return error ? error : t->error;
}
