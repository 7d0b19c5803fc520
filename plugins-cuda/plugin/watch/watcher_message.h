// SPDX-License-Identifier: GPL-2.0-only
/* Messages between criu and the watcher: one packet each, over the socket that only they have. */
#ifndef CCR_PLUGIN_WATCHER_MESSAGE_H
#define CCR_PLUGIN_WATCHER_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "plugin/task/state.h"
#include "plugin/trace/injected.h"
#include "plugin/watch/guard.h"

/* Number of the pool's descriptors that the watcher keeps; see device/device.h. */
#define WATCHER_FDS 3
/* How many threads of a process one message may be about. */
#define WATCHER_MAX_THREADS 4
/* The slots of a message: those of the pool, then the status file, then the pidfd of the process
 * that makes criu's driver calls on the task, then guards. */
enum {
	WATCHER_STATUS_FD = WATCHER_FDS,
	WATCHER_DRIVER_FD,
	WATCHER_GUARD_FD,
	WATCHER_SLOTS = WATCHER_GUARD_FD + WATCHER_MAX_THREADS * GUARD_FDS,
};

enum watcher_message_kind {
	WATCHER_TRACK,
	WATCHER_RELEASE,
	WATCHER_GUARD,		 /* `guards`; the watcher answers */
	WATCHER_INJECTED,	 /* `injected` */
	WATCHER_INJECTION_ENDED, /* `threads` */
	WATCHER_SECOND,		 /* the watcher starts another one, and answers */
	WATCHER_HOLD,	/* `held`, with the descriptor as the first of a guard; it answers */
	WATCHER_LET_GO, /* `held`; it answers */
};

/* How many descriptors the watcher can hold at a time. */
#define WATCHER_MAX_HELD 64

/* One packet, which carries the descriptors of the slots that `fds` has bits for, in order. */
struct watcher_message {
	enum watcher_message_kind kind;
	uint32_t question; /* its number, if the watcher answers */
	uint32_t fds;
	uint32_t nr; /* of `injected`, `guards.ids` or `threads` */
	union {
		struct task task;
		struct injected injected[WATCHER_MAX_THREADS];
		struct watcher_guards {
			bool are_threads; /* otherwise one process */
			pid_t ids[WATCHER_MAX_THREADS];
		} guards;
		pid_t threads[WATCHER_MAX_THREADS];
		int held; /* its number in criu */
	};
};

struct watcher_answer {
	uint32_t question;
	int32_t result; /* 0 or -errno */
};

/* Sets all slots to -1: no descriptor. */
void ccr__watcher_no_fds(int fds[WATCHER_SLOTS]);
/* In criu: sends a message, with the descriptors that are not -1. Returns 0 or -errno. */
int ccr__watcher_send(struct watcher_message *message, const int fds[WATCHER_SLOTS]);
/*
 * The same, and waits for the answer, for CRIU_CUDA_STEP_TIMEOUT_MS. Returns the result in it;
 * -ETIMEDOUT, after which an answer may still arrive and is ignored; or another -errno.
 */
int ccr__watcher_ask(struct watcher_message *message, const int fds[WATCHER_SLOTS]);

/* In the watcher: receives a message with its descriptors; false when criu has ended. */
bool ccr__watcher_receive(int fd, struct watcher_message *message, int fds[WATCHER_SLOTS]);
/* In the watcher: answers a message; `result` is 0 or -errno. */
void ccr__watcher_answer(int fd, const struct watcher_message *message, int result);

#endif
