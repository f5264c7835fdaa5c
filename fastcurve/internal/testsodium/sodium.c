#define _GNU_SOURCE
#include "sodium.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef void *(*malloc_function)(size_t);
typedef void *(*allocarray_function)(size_t, size_t);
typedef void (*free_function)(void *);
typedef int (*protect_function)(void *);

void *testsodium_function(const char *name, int whose) {
	void *from = RTLD_DEFAULT;
	if (whose == TESTSODIUM_OWN) {
		// The library's own definition of a name that nobody else defines leads to its file.
		Dl_info info;
		void *known = dlsym(RTLD_DEFAULT, "sodium_version_string");
		if (!known || !dladdr(known, &info))
			return NULL;
		from = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
		if (!from)
			return NULL;
	}
	return dlsym(from, name);
}

void *testsodium_malloc(void *function, size_t size) {
	return ((malloc_function) function)(size);
}

void *testsodium_allocarray(void *function, size_t count, size_t size) {
	return ((allocarray_function) function)(count, size);
}

void testsodium_free(void *function, void *pointer) { ((free_function) function)(pointer); }

int testsodium_protect(void *function, void *pointer) {
	return ((protect_function) function)(pointer);
}

uint64_t testsodium_loop(void *allocate, void *release, size_t size, int times) {
	struct timespec begin, end;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 0; i < times; i++)
		testsodium_free(release, testsodium_malloc(allocate, size));
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (uint64_t) ((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec);
}

// Returns the locked memory of this process in KiB, or -1. It needs no memory of its own.
static int locked(void) {
	char text[8192];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd == -1 ? -1 : read(fd, text, sizeof text - 1);
	close(fd);
	if (size < 0)
		return -1;
	text[size] = 0;
	const char *line = strstr(text, "VmLck:");
	return line ? atoi(line + strlen("VmLck:")) : -1;
}

static int child(void *allocate, void *release, void *pointer, int blocks) {
	memset(pointer, 'c', 1);
	testsodium_free(release, pointer);
	void *all[64];
	if (blocks > 64)
		return -1;
	for (int i = 0; i < blocks; i++) {
		all[i] = testsodium_malloc(allocate, 32);
		memset(all[i], 'c', 32);
	}
	int result = locked();
	for (int i = 0; i < blocks; i++)
		testsodium_free(release, all[i]);
	return result;
}

int testsodium_fork(void *allocate, void *release, void *pointer, int blocks) {
	int ends[2], result = -1, status;
	if (pipe(ends) == -1)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		int got = child(allocate, release, pointer, blocks);
		_exit(write(ends[1], &got, sizeof got) == sizeof got ? 0 : 1);
	}
	close(ends[1]);
	if (read(ends[0], &result, sizeof result) != sizeof result)
		result = -1;
	close(ends[0]);
	if (pid == -1 || waitpid(pid, &status, 0) != pid || status != 0)
		return -1;
	return result;
}
