#include <zmq.h>
#include "lib.h"

int main(void) {
	void *context = zmq_ctx_new();
	Run();
	return zmq_ctx_term(context);
}
