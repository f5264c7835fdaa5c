// A forwarder carries whole messages between two sockets, both ways. One call passes many messages
// on, so that Go crosses into C once for all of them.
#ifndef ZMQAUTH_FORWARD_H
#define ZMQAUTH_FORWARD_H

#include <stdint.h>
#include <zmq.h>

enum {
	FORWARD_BURST = 100,  // messages one way before it is the other way's turn
	FORWARD_PAUSE = 2,    // milliseconds between two attempts where no event tells of progress
	FORWARD_ITEMS = 8,    // sockets besides the two that are waited for, at most
	FORWARD_FULL = 1 << 30,
};

// Counts the messages that a socket has taken and not given away or dropped yet. It lives as long
// as there are any.
typedef struct forward_account forward_account;

// One way. Go may change the first fields between two calls.
typedef struct {
	int paused;           // no message is begun
	uint64_t window;      // messages in the account, at most; 0: no limit
	int delimiters;       // messages with an empty second frame are counted
	int subscriptions;    // what is no subscription is dropped

	uint64_t passed;      // messages that the receiving socket has taken
	uint64_t delimited;   // of these: those with an empty second frame
	uint64_t broken;      // messages of which only the beginning was taken, or nothing
	uint64_t refused;     // messages that are no subscriptions

	void *from, *to;
	forward_account *account; // NULL: not counted
	zmq_msg_t frame;      // the frame that the receiving socket has not taken
	int held;             // there is such a frame
	int counted;          // and it is in the account already
	int index;            // of that frame, or the next, in its message
	int delimited_now;    // the message has an empty second frame
	int dropping;         // the rest of a broken message is read
	int stuck;            // nothing will tell when the next attempt is worth it
} forward_way;

typedef struct {
	void *front, *back;
	forward_way up;       // from front to back
	forward_way down;     // from back to front; from is NULL where there is none
	void *items[FORWARD_ITEMS];
	int item_count;
} forwarder;

int forward_new(void *front, void *back, int down, int account_up, int account_down,
		forwarder **out);

// Passes messages on until one of the items has a message, until timeout milliseconds have passed
// (negative: never), or once, if once is set. *ready has a bit for each item that has a message, and
// FORWARD_FULL if a window is full. Returns 0 or an errno.
int forward_run(forwarder *f, int timeout, int once, uint32_t *ready);

// Reads and drops the messages that front still has, and counts them.
int forward_discard(forwarder *f, uint64_t *count);

uint64_t forward_open(const forward_way *way); // messages in the account
void forward_free(forwarder *f);

#endif
