// SPDX-License-Identifier: GPL-2.0-only
/* Messages between criu and the watcher, and the start of the watcher. */
#ifndef CCR_PLUGIN_WATCHER_LINK_H
#define CCR_PLUGIN_WATCHER_LINK_H

#include "plugin/watch/guard.h"
#include "plugin/trace/injected.h"
#include "plugin/task/state.h"

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

/* What the layers above supply: the watcher's main function, and the descriptors that it keeps. */
struct watcher_ops {
	/* In the watcher. Does not return. */
	void (*run)(int stage, int fd);
	/* In criu: descriptors to pass on (-1: none). They stay open until fds_passed. */
	void (*fds)(int fds[WATCHER_FDS]);
	void (*fds_passed)(void);
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

/* At init: starts the watcher, before there is anything to undo. Returns 0 or -errno. */
int ccr__watcher_start(int stage);
/* At the first CUDA process: opens the status file. Returns 0 or -errno. */
int ccr__begin(int stage);
/* The name of the stage in the status file. */
const char *ccr__stage_name(int stage);
/* Sends the task's record to the watcher: before each step that an undo would have to undo. Returns
 * 0 or -errno. */
int ccr__watcher_track(const struct task *task);
/* Puts a process, or one thread, under guard and waits until the watcher has its part of it. Does
 * nothing at a restore. Returns 0 or -errno. */
int ccr__watcher_guard(pid_t id, bool is_thread);
/* Prepares guards of `nr` threads, at most WATCHER_MAX_THREADS, with one exchange; ccr__guard_stop
 * arms them. Returns 0 or -errno. */
int ccr__watcher_prepare_guards(const pid_t *tids, size_t nr);
/* Tells the watcher about threads of a process that are injected into; as many. Returns 0 or
 * -errno. */
int ccr__watcher_injected(const struct injected *injected, size_t nr);
/* They no longer are, or they never were. Their guards are removed. */
void ccr__watcher_injection_ended(const pid_t *tids, size_t nr);
/*
 * Has the watcher hold a duplicate of the descriptor, so that it is not closed when criu dies, and
 * close it again. Nothing is held if there is no watcher, or another one has taken its place.
 * Return 0 or -errno.
 */
int ccr__watcher_hold(int fd);
int ccr__watcher_let_go(int fd);
/* After the last hook of a dump, when a watcher that is killed cannot be replaced any more: has it
 * start a second one, if there is something left to undo or to wait for. */
void ccr__watcher_start_second(void);
/* The prior states are restored, or the restore is complete: only device memory is missing. */
void ccr__watcher_release(void);

/* In the watcher: receives a message with its descriptors; false when criu has ended. */
bool ccr__watcher_receive(int fd, struct watcher_message *message, int fds[WATCHER_SLOTS]);

#endif
