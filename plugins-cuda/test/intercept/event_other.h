// SPDX-License-Identifier: MIT
/* For the tests of events that processes share: two processes that do the same things with them. */
#ifndef CCR_INTERCEPT_EVENT_OTHER_H
#define CCR_INTERCEPT_EVENT_OTHER_H

#include "common/protocol/mailbox.h"
#include "test/intercept/intercept_test.h"

#define NR_EVENTS 8

enum step {
	CREATE,	 /* event; `value` has the flags */
	GET,	 /* the handle of event */
	OPEN,	 /* event, by the handle */
	DESTROY, /* event */
	RECORD,	 /* event on stream */
	QUERY,	 /* event */
	SYNC,	 /* event */
	AWAIT,	 /* event on stream */
	HOLD,	 /* stream: nothing there runs until RELEASE */
	RELEASE, /* stream */
	IS_DONE, /* stream */
	DRAIN,	 /* stream */
	FORK,	 /* a child that ends */
	NUMBERS, /* the mailbox */
	EVICT,	 /* of this process, and attach; the pool breaks off at these places */
};

/* Streams are 0 (legacy default), 1 (per-thread default), 2 and 3. */
struct task {
	enum step step;
	unsigned int event, stream;
	uint64_t value;
	enum pool_break evict_stop, attach_stop;
	CUipcEventHandle handle;
};

struct outcome {
	CUresult result;
	CUipcEventHandle handle;
	struct ccr_mailbox mailbox;
};

/* A process; `to` < 0: this one. */
struct side {
	pid_t pid;
	int to, from;
};

/* In the other process; does not return. */
void side_serve(void) __attribute__((noreturn));
/* `is_plain`: without the interceptor. */
struct side side_start(const char *program, bool is_plain);
void side_kill(struct side *side);
void side_end(struct side *side);
struct outcome side_do(const struct side *side, struct task task);

/* A step of the other process that waits, and its end. */
void side_begin(const struct side *side, struct task task);
struct outcome side_take(const struct side *side);

#endif
