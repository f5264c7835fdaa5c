#include "zap.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_FRAMES = 16, MAX_BYTES = 4096 };

// Returns the number of bytes before the end of the input, or -1.
static ssize_t read_all(int fd, void *bytes, size_t size) {
	size_t got = 0;
	while (got < size) {
		ssize_t n = read(fd, (uint8_t *) bytes + got, size - got);
		if (n == -1 && errno != EINTR)
			return -1;
		if (n == 0)
			break;
		if (n > 0)
			got += (size_t) n;
	}
	return (ssize_t) got;
}

static int read_exactly(int fd, void *bytes, size_t size) {
	ssize_t n = read_all(fd, bytes, size);
	if (n == -1)
		return errno;
	return (size_t) n == size ? 0 : EPROTO;
}

static int write_all(int fd, const void *bytes, size_t size) {
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const uint8_t *) bytes + done, size - done);
		if (n == -1 && errno != EINTR)
			return errno;
		if (n > 0)
			done += (size_t) n;
	}
	return 0;
}

static int read_frames(int fd, const loadgen_order *order, uint32_t *sizes, uint8_t *bytes) {
	if (order->frames > MAX_FRAMES || order->beside > MAX_FRAMES)
		return EPROTO;
	uint32_t frames = order->frames + order->beside;
	int error = read_exactly(fd, sizes, frames * sizeof *sizes);
	size_t total = 0;
	for (uint32_t i = 0; !error && i < frames; i++) {
		total += sizes[i];
		if (total > MAX_BYTES)
			error = EPROTO;
	}
	return error ? error : read_exactly(fd, bytes, total);
}

static uint64_t nanoseconds(const struct timeval *t) {
	return (uint64_t) t->tv_sec * 1000000000u + (uint64_t) t->tv_usec * 1000u;
}

static uint64_t cpu_time(void) {
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return nanoseconds(&usage.ru_utime) + nanoseconds(&usage.ru_stime);
}

static int take_orders(void *context, int in, int out) {
	loadgen_order order;
	uint32_t sizes[2 * MAX_FRAMES];
	uint8_t bytes[MAX_BYTES];
	for (;;) {
		ssize_t n = read_all(in, &order, sizeof order);
		if (n == 0)
			return 0;
		if (n != sizeof order)
			return n == -1 ? errno : EPROTO;
		int error = read_frames(in, &order, sizes, bytes);
		if (error)
			return error;
		loadgen_report report = {0};
		if (order.requests > 0)
			report.error = loadgen_run(context, &order, sizes, bytes, &report.result);
		report.cpu_nanoseconds = cpu_time();
		error = write_all(out, &report, sizeof report);
		if (error)
			return error;
	}
}

int loadgen_serve(void *context, const char *domain, int in, int out) {
	loadgen_hello hello;
	loadgen_echo *echo;
	int error = loadgen_echo_start(context, domain, &hello, &echo);
	if (error)
		return error;
	error = write_all(out, &hello, sizeof hello);
	if (!error)
		error = take_orders(context, in, out);
	int stopped = loadgen_echo_stop(echo);
	return error ? error : stopped;
}
