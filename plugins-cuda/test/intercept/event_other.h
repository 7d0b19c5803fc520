// SPDX-License-Identifier: MIT
/* For the tests of events that processes share: two processes that do the same things with them. */
#ifndef CCR_INTERCEPT_EVENT_OTHER_H
#define CCR_INTERCEPT_EVENT_OTHER_H

#include "common/protocol/mailbox.h"
#include "test/intercept/intercept_test.h"
#include "test/intercept/other_process.h"

#define NR_EVENTS 8
#define SHARED	  (CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING)

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

/* In the other process; does not return. */
void side_serve(void) __attribute__((noreturn));
void side_kill(struct other_process *side);
void side_end(struct other_process *side);
struct outcome side_do(const struct other_process *side, struct task task);

#define TASK(what, ...)	    ((struct task){.step = what, ##__VA_ARGS__})
#define DO(side, what, ...) side_do(side, TASK(what, ##__VA_ARGS__)).result

/* This process: `to` < 0. */
extern const struct other_process self;

struct ccr_mailbox numbers(const struct other_process *side);
/* Whether it has so many pages of other processes, and of its own that others may use. */
bool counts(const struct other_process *side, uint64_t imports, uint64_t exports);
/* How many mappings of this process have the text in their line. */
int nr_mappings(const char *text);
/* A new event of the owner, which the other has open under the same number. Returns its handle. */
CUipcEventHandle share(const struct other_process *owner, const struct other_process *other,
		       unsigned int event);
void drop(const struct other_process *one, const struct other_process *two, unsigned int event);
/* Event 0: one records it on a busy stream, and the other waits in every way. */
void one_waits(const struct other_process *one, const struct other_process *two,
	       unsigned int stream);

/* A step of the other process that waits, and its end. */
void side_begin(const struct other_process *side, struct task task);
struct outcome side_take(const struct other_process *side);

#endif
