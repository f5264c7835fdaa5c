#include "forward.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct forward_account {
	atomic_uint_fast64_t users; // the way, and each message
};

// The last frame of a message that is counted. libzmq frees it when the message has been written to
// the connection or dropped.
typedef struct {
	zmq_msg_t inner;
	forward_account *account;
} parcel;

static void leave(forward_account *account) {
	if (account && atomic_fetch_sub_explicit(&account->users, 1, memory_order_acq_rel) == 1)
		free(account);
}

// Called by libzmq in any of its threads.
static void free_parcel(void *data, void *hint) {
	(void) data;
	parcel *p = hint;
	zmq_msg_close(&p->inner);
	leave(p->account);
	free(p);
}

// Puts a frame into a parcel.
static int count_frame(zmq_msg_t *frame, forward_account *account) {
	parcel *p = malloc(sizeof *p);
	if (!p)
		return ENOMEM;
	zmq_msg_init(&p->inner);
	zmq_msg_move(&p->inner, frame);
	zmq_msg_t outer;
	void *data = zmq_msg_data(&p->inner);
	if (zmq_msg_init_data(&outer, data, zmq_msg_size(&p->inner), free_parcel, p) == -1) {
		zmq_msg_move(frame, &p->inner);
		zmq_msg_close(&p->inner);
		free(p);
		return ENOMEM;
	}
	p->account = account;
	atomic_fetch_add_explicit(&account->users, 1, memory_order_relaxed);
	zmq_msg_move(frame, &outer);
	zmq_msg_close(&outer);
	return 0;
}

uint64_t forward_open(const forward_way *way) {
	if (!way->account)
		return 0;
	return atomic_load_explicit(&way->account->users, memory_order_acquire) - 1;
}

static int receive_frame(zmq_msg_t *frame, void *socket, int flags) {
	while (zmq_msg_recv(frame, socket, flags) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static int send_frame(zmq_msg_t *frame, void *socket, int flags) {
	while (zmq_msg_send(frame, socket, flags) == -1) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

// Whether the frame just received is a whole message that subscribes or ends a subscription.
static int is_subscription(forward_way *way) {
	const unsigned char *data = zmq_msg_data(&way->frame);
	return way->index == 0 && !zmq_msg_more(&way->frame) && zmq_msg_size(&way->frame) > 0
			&& data[0] <= 1;
}

// Drops the frame just received.
static int refuse(forward_way *way) {
	way->index++;
	if (!zmq_msg_more(&way->frame)) {
		way->index = 0;
		way->refused++;
	}
	zmq_msg_close(&way->frame);
	zmq_msg_init(&way->frame);
	return 0;
}

// Takes the next frame, which may be the first of a message. Returns EAGAIN if there is none. One
// that is refused is not held.
static int take(forward_way *way) {
	int error = receive_frame(&way->frame, way->from, ZMQ_DONTWAIT);
	if (error)
		return error;
	if (way->subscriptions && !is_subscription(way))
		return refuse(way);
	way->held = 1;
	if (way->index == 0)
		way->delimited_now = 0;
	else if (way->index == 1 && way->delimiters)
		way->delimited_now = zmq_msg_size(&way->frame) == 0;
	return 0;
}

// Ends a message, and counts it.
static void end_message(forward_way *way) {
	way->index = 0;
	if (way->dropping) {
		way->dropping = 0;
		way->broken++;
		return;
	}
	way->passed++;
	way->delimited += way->delimited_now;
}

// Gives the held frame to the receiving socket. After EAGAIN it is still held: nothing of its
// message has been taken.
static int give(forward_way *way) {
	int more = zmq_msg_more(&way->frame);
	if (!more && way->account && !way->dropping && !way->counted) {
		int error = count_frame(&way->frame, way->account);
		if (error)
			return error;
		way->counted = 1;
	}
	int error = send_frame(&way->frame, way->to, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
	if (error == EAGAIN && way->index > 0) {
		// The connection has gone, and the frames before with it. libzmq drops the rest as well,
		// if it gets that.
		way->dropping = 1;
		zmq_msg_close(&way->frame);
		zmq_msg_init(&way->frame);
		error = 0;
	}
	if (error)
		return error;
	way->held = way->counted = 0;
	way->index++;
	if (!more)
		end_message(way);
	return 0;
}

// Whether the account has room for another message.
static int has_room(const forward_way *way) {
	return !way->window || forward_open(way) < way->window;
}

// Passes messages on until there are none, until the receiving socket takes no more, or until the
// burst ends. ready is what zmq_poll said of that socket.
static int pass(forward_way *way, int ready) {
	if (way->held && !ready && !way->stuck)
		return 0;
	way->stuck = 0;
	for (int count = 0; count < FORWARD_BURST;) {
		if (!way->held) {
			if (way->index == 0 && way->paused)
				return 0;
			if (way->index == 0 && !has_room(way)) {
				way->stuck = 1;
				return 0;
			}
			int error = take(way);
			if (error)
				return error == EAGAIN ? 0 : error;
			if (!way->held) {
				count++;
				continue;
			}
		}
		int error = give(way);
		if (error == EAGAIN) {
			way->stuck = ready && count == 0;
			return 0;
		}
		if (error)
			return error;
		count += way->index == 0;
	}
	return 0;
}

// Adds what a way waits for to the items of its sockets.
static void await(const forward_way *way, zmq_pollitem_t *from, zmq_pollitem_t *to) {
	if (!way->from || way->stuck)
		return;
	if (way->held)
		to->events |= ZMQ_POLLOUT;
	else if (!way->paused)
		from->events |= ZMQ_POLLIN;
}

static int wait_for(forwarder *f, zmq_pollitem_t *items, int timeout) {
	if ((f->up.stuck || f->down.stuck) && (timeout < 0 || timeout > FORWARD_PAUSE))
		timeout = FORWARD_PAUSE;
	items[0] = (zmq_pollitem_t) {f->front, 0, 0, 0};
	items[1] = (zmq_pollitem_t) {f->back, 0, 0, 0};
	await(&f->up, &items[0], &items[1]);
	await(&f->down, &items[1], &items[0]);
	for (int i = 0; i < f->item_count; i++)
		items[2 + i] = (zmq_pollitem_t) {f->items[i], 0, ZMQ_POLLIN, 0};
	return zmq_poll(items, 2 + f->item_count, timeout);
}

static int64_t milliseconds(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int forward_run(forwarder *f, int timeout, int once, uint32_t *ready) {
	zmq_pollitem_t items[2 + FORWARD_ITEMS];
	int64_t end = timeout < 0 ? 0 : milliseconds() + timeout;
	*ready = 0;
	for (;;) {
		if (wait_for(f, items, timeout) == -1)
			return errno == EINTR ? 0 : errno;
		for (int i = 0; i < f->item_count; i++)
			*ready |= (items[2 + i].revents ? 1u : 0u) << i;
		if (!has_room(&f->up))
			*ready |= FORWARD_FULL;
		int error = pass(&f->up, items[1].revents & ZMQ_POLLOUT);
		if (!error && f->down.from)
			error = pass(&f->down, items[0].revents & ZMQ_POLLOUT);
		if (error || *ready || once)
			return error;
		if (timeout >= 0) {
			int64_t left = end - milliseconds();
			if (left <= 0)
				return 0;
			timeout = (int) left;
		}
	}
}

static int open_way(forward_way *way, void *from, void *to, int account) {
	zmq_msg_init(&way->frame);
	way->from = from;
	way->to = to;
	if (!account)
		return 0;
	if (!(way->account = malloc(sizeof *way->account)))
		return ENOMEM;
	atomic_init(&way->account->users, 1);
	return 0;
}

int forward_new(void *front, void *back, int down, int account_up, int account_down,
		forwarder **out) {
	forwarder *f = calloc(1, sizeof *f);
	if (!f)
		return ENOMEM;
	f->front = front;
	f->back = back;
	int error = open_way(&f->up, front, back, account_up);
	if (!error && down)
		error = open_way(&f->down, back, front, account_down);
	else
		zmq_msg_init(&f->down.frame);
	if (error) {
		forward_free(f);
		return error;
	}
	*out = f;
	return 0;
}

void forward_free(forwarder *f) {
	zmq_msg_close(&f->up.frame);
	zmq_msg_close(&f->down.frame);
	leave(f->up.account);
	leave(f->down.account);
	free(f);
}

int forward_discard(forwarder *f, uint64_t *count) {
	zmq_msg_t frame;
	zmq_msg_init(&frame);
	int error;
	*count = 0;
	while (!(error = receive_frame(&frame, f->front, ZMQ_DONTWAIT)))
		*count += !zmq_msg_more(&frame);
	zmq_msg_close(&frame);
	return error == EAGAIN ? 0 : error;
}
