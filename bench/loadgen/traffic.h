// Messages from clients to a service, or back, straight or through a proxy. Both ends are in this
// process, each with a thread of its own.
#ifndef LOADGEN_TRAFFIC_H
#define LOADGEN_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

#include "zap.h"

// The pattern of the messages: PUSH clients of a PULL service, REQ clients of a ROUTER that echoes,
// or subscribers of a PUB service.
enum { TRAFFIC_PUSH, TRAFFIC_REQUEST, TRAFFIC_SUBSCRIBE };

// A service and its clients. Functions that return int return 0 or an errno: EAGAIN if something
// took longer than timeout_ms, EPROTO if a message has another size.
typedef struct loadgen_traffic loadgen_traffic;

// Binds the service to a port that the kernel chooses. With a secret key (Z85) it is a CURVE server.
int loadgen_traffic_open(void *context, int pattern, const char *secret_key, int timeout_ms,
                         loadgen_traffic **traffic);

// The endpoint of the service.
const char *loadgen_traffic_endpoint(const loadgen_traffic *traffic);

// Makes clients with a connection each, and returns when the subscribers among them are known to the
// service.
int loadgen_traffic_connect(loadgen_traffic *traffic, const loadgen_client *client, int clients);

// Sends messages of a size and waits until all have arrived: those of all clients together, requests
// with their replies, or what the service publishes to each of them.
int loadgen_traffic_run(loadgen_traffic *traffic, uint32_t messages, size_t size,
                        uint64_t *nanoseconds);

// Closes all sockets. NULL is no error.
void loadgen_traffic_close(loadgen_traffic *traffic);

#endif
