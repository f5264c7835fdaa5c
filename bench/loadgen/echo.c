#include "zap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define CONTROL_ENDPOINT "inproc://loadgen-echo"

// The items of a poll: a socket for each mechanism, and the socket that receives the stop.
enum { CONTROL = LOADGEN_MECHANISMS, ITEMS };

struct loadgen_echo {
	void *sockets[ITEMS];
	void *stopper; // the other end of the control socket
	pthread_t thread;
	int error; // that ended the thread
};

static int echo_one(void *socket) {
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	int error = 0, more = 1;
	while (!error && more) {
		if (zmq_msg_recv(&frame, socket, 0) == -1) {
			error = errno;
			break;
		}
		more = zmq_msg_more(&frame);
		if (zmq_msg_send(&frame, socket, more ? ZMQ_SNDMORE : 0) == -1)
			error = errno;
	}
	zmq_msg_close(&frame);
	return error;
}

static void *serve(void *argument) {
	loadgen_echo *echo = argument;
	zmq_pollitem_t items[ITEMS];
	memset(items, 0, sizeof items);
	for (int i = 0; i < ITEMS; i++) {
		items[i].socket = echo->sockets[i];
		items[i].events = ZMQ_POLLIN;
	}
	while (!echo->error && !items[CONTROL].revents) {
		if (zmq_poll(items, ITEMS, -1) == -1) {
			echo->error = errno == EINTR ? 0 : errno;
			continue; // the events may be those of the poll before
		}
		for (int i = 0; !echo->error && i < LOADGEN_MECHANISMS; i++) {
			if (items[i].revents)
				echo->error = echo_one(items[i].socket);
		}
	}
	return NULL;
}

static int set_int(void *socket, int option, int value) {
	return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_role(void *socket, int mechanism, const char *secret_key) {
	switch (mechanism) {
	case LOADGEN_PLAIN:
		return set_int(socket, ZMQ_PLAIN_SERVER, 1);
	case LOADGEN_CURVE:
		return set_int(socket, ZMQ_CURVE_SERVER, 1) == -1
		           ? -1
		           : zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, LOADGEN_KEY_SIZE);
	default:
		return 0;
	}
}

static int bind_server(void *context, const char *domain, int mechanism, const char *secret_key, char *endpoint, void **out) {
	void *socket = *out = zmq_socket(context, ZMQ_ROUTER);
	size_t size = LOADGEN_ENDPOINT_SIZE;
	if (!socket || set_int(socket, ZMQ_LINGER, 0) == -1 || set_int(socket, ZMQ_BACKLOG, 1024) == -1 ||
	    (*domain && zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) == -1) || set_role(socket, mechanism, secret_key) == -1 ||
	    zmq_bind(socket, "tcp://127.0.0.1:*") == -1 || zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == -1)
		return errno;
	return 0;
}

static int bind_all(void *context, const char *domain, loadgen_hello *hello, loadgen_echo *echo) {
	char secret_key[LOADGEN_KEY_SIZE];
	if (zmq_curve_keypair(hello->server_key, secret_key) == -1)
		return errno;
	for (int i = 0; i < LOADGEN_MECHANISMS; i++) {
		int error = bind_server(context, domain, i, secret_key, hello->endpoints[i], &echo->sockets[i]);
		if (error)
			return error;
	}
	echo->sockets[CONTROL] = zmq_socket(context, ZMQ_PAIR);
	echo->stopper = zmq_socket(context, ZMQ_PAIR);
	if (!echo->sockets[CONTROL] || !echo->stopper || zmq_bind(echo->sockets[CONTROL], CONTROL_ENDPOINT) == -1 ||
	    zmq_connect(echo->stopper, CONTROL_ENDPOINT) == -1)
		return errno;
	return 0;
}

static void close_all(loadgen_echo *echo) {
	if (echo->sockets[CONTROL])
		zmq_unbind(echo->sockets[CONTROL], CONTROL_ENDPOINT); // close alone would free the endpoint later
	for (int i = 0; i < ITEMS; i++) {
		if (echo->sockets[i])
			zmq_close(echo->sockets[i]);
	}
	if (echo->stopper)
		zmq_close(echo->stopper);
	free(echo);
}

int loadgen_echo_start(void *context, const char *domain, loadgen_hello *hello, loadgen_echo **out) {
	memset(hello, 0, sizeof *hello);
	loadgen_echo *echo = calloc(1, sizeof *echo);
	if (!echo)
		return ENOMEM;
	int error = bind_all(context, domain, hello, echo);
	if (!error)
		error = pthread_create(&echo->thread, NULL, serve, echo);
	if (error) {
		close_all(echo);
		return error;
	}
	*out = echo;
	return 0;
}

int loadgen_echo_stop(loadgen_echo *echo) {
	zmq_send(echo->stopper, "", 0, 0);
	pthread_join(echo->thread, NULL);
	int error = echo->error;
	close_all(echo);
	return error;
}
