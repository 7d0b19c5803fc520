// SPDX-License-Identifier: GPL-2.0-only
/* In criu: the start of the watcher, and what it is told. */
#ifndef CCR_PLUGIN_WATCHER_LINK_H
#define CCR_PLUGIN_WATCHER_LINK_H

#include "plugin/task/state.h"
#include "plugin/trace/injected.h"
#include "plugin/watch/guard.h"
#include "plugin/watch/watcher_message.h"

/* What the layers above supply: the watcher's main function, and the descriptors that it keeps. */
struct watcher_ops {
	/* In the watcher. Does not return. */
	void (*run)(int stage, int fd);
	/* In criu: descriptors to pass on (-1: none). They stay open until fds_passed. */
	void (*fds)(int fds[WATCHER_FDS]);
	void (*fds_passed)(void);
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
/* Starts another watcher if the last one was killed: while criu waits, and so does not notice.
 * Returns 0 or -errno. */
int ccr__watcher_check(void);
/* They no longer are, or they never were. Their guards are removed. */
void ccr__watcher_injection_ended(const pid_t *tids, size_t nr);
/*
 * Has the watcher, and any that takes its place, hold a duplicate of the descriptor, so that it is
 * not closed when criu dies; and close it again. Return 0 or -errno.
 */
int ccr__watcher_hold(int fd);
int ccr__watcher_let_go(int fd);
/* After the last hook of a dump, when a watcher that is killed cannot be replaced any more: has it
 * start a second one, if there is something left to undo or to wait for. */
void ccr__watcher_start_second(void);
/* The prior states are restored, or the restore is complete: only device memory is missing. */
void ccr__watcher_release(void);

#endif
