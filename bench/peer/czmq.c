// czmq's zauth under measurement: program DIRECTORY
#include "zap.h"

#include <czmq.h>

static void set_up(zactor_t *auth, const char *mechanism, const char *directory, const char *name) {
	char *path = zsys_sprintf("%s/%s", directory, name);
	zstr_sendx(auth, mechanism, path, NULL);
	zsock_wait(auth);
	zstr_free(&path);
}

int main(int argc, char **argv) {
	if (argc != 2)
		return 2;
	zsys_set_logstream(stderr); // standard output is the load generator's
	zactor_t *auth = zactor_new(zauth, NULL);
	set_up(auth, "PLAIN", argv[1], "passwords");
	set_up(auth, "CURVE", argv[1], "clients");
	int error = loadgen_serve(zsys_init(), "global", 0, 1);
	zactor_destroy(&auth);
	return error;
}
