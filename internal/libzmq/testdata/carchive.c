#include <zmq.h>
#include "lib.h"

int main(void) {
	void *context = zmq_ctx_new();
	void *socket = zmq_socket(context, ZMQ_PAIR);
	int rc = zmq_socket_monitor(socket, "inproc://monitor", ZMQ_EVENT_ALL) | zmq_close(socket);
	return rc | zmq_ctx_term(context) | Identify(-1);
}
