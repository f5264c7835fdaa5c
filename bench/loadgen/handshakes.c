#include "zap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

// Also for keys: libzmq takes Z85 with or without the terminating zero.
static int set_text(void *socket, int option, const char *text) {
	return text ? zmq_setsockopt(socket, option, text, strlen(text)) : 0;
}

// The clients that are apart have addresses from 127.32.0.1, again from the start after some time.
enum { FIRST_HOST = 1, HOSTS_IN_NETWORK = 254, NETWORKS = 256 };

static int connect_socket(void *socket, const loadgen_client *client, unsigned number) {
	static const char scheme[] = "tcp://";
	if (!client->apart || strncmp(client->endpoint, scheme, sizeof scheme - 1) != 0)
		return zmq_connect(socket, client->endpoint);
	char endpoint[128];
	snprintf(endpoint, sizeof endpoint, "tcp://127.32.%u.%u:0;%s", number / HOSTS_IN_NETWORK % NETWORKS,
	         number % HOSTS_IN_NETWORK + FIRST_HOST, client->endpoint + sizeof scheme - 1);
	return zmq_connect(socket, endpoint);
}

// Begins a connection. Its message is sent when the handshake is done.
static int begin(void *context, const loadgen_client *client, unsigned number, int timeout_ms, void **out) {
	int none = 0;
	void *socket = *out = zmq_socket(context, ZMQ_DEALER);
	if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == -1 ||
	    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms) == -1 ||
	    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms) == -1 ||
	    set_text(socket, ZMQ_PLAIN_USERNAME, client->username) == -1 ||
	    set_text(socket, ZMQ_PLAIN_PASSWORD, client->password) == -1 ||
	    set_text(socket, ZMQ_CURVE_SERVERKEY, client->server_key) == -1 ||
	    set_text(socket, ZMQ_CURVE_PUBLICKEY, client->public_key) == -1 ||
	    set_text(socket, ZMQ_CURVE_SECRETKEY, client->secret_key) == -1 || connect_socket(socket, client, number) == -1)
		return errno;
	while (zmq_send(socket, "x", 1, 0) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static int finish(void **socket) {
	char echoed;
	int error = 0;
	while (!error && zmq_recv(*socket, &echoed, 1, 0) == -1) {
		if (errno != EINTR)
			error = errno;
	}
	zmq_close(*socket);
	*socket = NULL;
	return error;
}

int loadgen_handshakes(void *context, const loadgen_client *client, int in_flight, int handshakes, int timeout_ms,
                       uint64_t *nanoseconds) {
	void **sockets = calloc((size_t) in_flight, sizeof *sockets);
	if (!sockets)
		return ENOMEM;
	int error = 0;
	uint64_t start = loadgen_now();
	// The oldest handshake in flight ends before the next begins.
	for (int begun = 0; !error && begun < handshakes + in_flight; begun++) {
		void **socket = &sockets[begun % in_flight];
		if (*socket)
			error = finish(socket);
		if (!error && begun < handshakes)
			error = begin(context, client, (unsigned) begun, timeout_ms, socket);
	}
	*nanoseconds = loadgen_now() - start;
	for (int i = 0; i < in_flight; i++) {
		if (sockets[i])
			zmq_close(sockets[i]);
	}
	free(sockets);
	return error;
}
