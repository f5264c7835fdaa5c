// Takes ZAP requests at an endpoint for czmq's zauth. It sets up zauth from a directory if one is given:
//
//	program ENDPOINT [DIRECTORY REFUSED-ADDRESS]
//
// It prints "ready" and its version, and ends with its standard input.
#include <czmq.h>
#include <sys/resource.h>
#include <unistd.h>

static void set_up(zactor_t *auth, const char *directory, const char *refused) {
	char path[1024];
	zstr_sendx(auth, "DENY", refused, NULL);
	zsock_wait(auth);
	snprintf(path, sizeof path, "%s/passwords", directory);
	zstr_sendx(auth, "PLAIN", path, NULL);
	zsock_wait(auth);
	snprintf(path, sizeof path, "%s/clients", directory);
	zstr_sendx(auth, "CURVE", path, NULL);
	zsock_wait(auth);
}

static void forward(zactor_t *proxy, const char *end, const char *type, const char *endpoint) {
	zstr_sendx(proxy, end, type, endpoint, NULL);
	zsock_wait(proxy);
}

int main(int argc, char **argv) {
	const struct rlimit none = {0, 0}; // no core dumps: some tests make an assertion of zauth fail
	setrlimit(RLIMIT_CORE, &none);
	zsys_set_sndhwm(0);
	zsys_set_rcvhwm(0);
	zactor_t *auth = zactor_new(zauth, NULL);
	if (argc == 4)
		set_up(auth, argv[2], argv[3]);
	zactor_t *proxy = zactor_new(zproxy, NULL);
	forward(proxy, "BACKEND", "DEALER", ">inproc://zeromq.zap.01");
	forward(proxy, "FRONTEND", "ROUTER", argv[1]);
	printf("ready czmq %d.%d.%d\n", CZMQ_VERSION_MAJOR, CZMQ_VERSION_MINOR, CZMQ_VERSION_PATCH);
	fflush(stdout);
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	_exit(0);
}
