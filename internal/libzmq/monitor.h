#ifndef ZMQAUTH_MONITOR_H
#define ZMQAUTH_MONITOR_H

// Whether this program has given the socket a monitor and not taken it away. 0 on systems whose linker cannot tell.
int monitor_is_set (void *socket);

#endif
