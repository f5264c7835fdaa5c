// libzmq gives a socket one monitor, ends it without a word when it is given another, and has no call that tells
// whether it has one. So the calls that set, end and close are noted on their way: the linker's --wrap leads the
// program's calls here, those of zmq4 and other bindings too.
#include "monitor.h"

#ifdef __linux__

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zmq.h>

int __real_zmq_socket_monitor (void *socket, const char *address, int events);
int __real_zmq_close (void *socket);

typedef struct monitored
{
    void *socket;
    struct monitored *next;
} monitored;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static monitored *first;

static monitored **find (void *socket)
{
    monitored **at = &first;
    while (*at && (*at)->socket != socket)
        at = &(*at)->next;
    return at;
}

static void forget (void *socket)
{
    pthread_mutex_lock (&lock);
    monitored **at = find (socket);
    monitored *found = *at;
    if (found)
        *at = found->next;
    pthread_mutex_unlock (&lock);
    free (found);
}

static int note (void *socket)
{
    pthread_mutex_lock (&lock);
    monitored **at = find (socket);
    if (!*at && (*at = malloc (sizeof **at)))
        **at = (monitored){socket, NULL};
    int noted = *at != NULL;
    pthread_mutex_unlock (&lock);
    return noted;
}

int monitor_is_set (void *socket)
{
    pthread_mutex_lock (&lock);
    int set = *find (socket) != NULL;
    pthread_mutex_unlock (&lock);
    return set;
}

int __wrap_zmq_socket_monitor (void *socket, const char *address, int events)
{
    int rc = __real_zmq_socket_monitor (socket, address, events);
    if (rc == 0 && address && !note (socket)) {
        __real_zmq_socket_monitor (socket, NULL, 0);
        errno = ENOMEM;
        return -1;
    }
    // An address in use ends the monitor that was there, too; other errors come before that.
    if ((rc == 0 && !address) || (rc == -1 && errno == EADDRINUSE)) {
        int error = errno;
        forget (socket);
        errno = error;
    }
    return rc;
}

int __wrap_zmq_close (void *socket)
{
    forget (socket); // before another socket can get the same address
    return __real_zmq_close (socket);
}

#else

int monitor_is_set (void *socket)
{
    (void) socket;
    return 0;
}

#endif
