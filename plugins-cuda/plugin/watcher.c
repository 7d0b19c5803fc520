// SPDX-License-Identifier: GPL-2.0-only
/*
 * The watcher: a detached process that outlives criu and handles what criu left
 * behind. CRIU does not tell a plugin that a post-dump script failed, and cannot
 * tell anyone when it is killed; in both cases the application would stay locked
 * or checkpointed forever, or run half restored. The plugin tells the watcher
 * about each task over a socket that only criu holds; end of file means that criu
 * has ended. After a dump the watcher returns tasks that are alive to their prior
 * states, and lets the pool drop the memory of the others. After an incomplete
 * restore it kills the tasks. It ends when every task has its device memory, though
 * criu may stay as the parent of what it restored.
 */
#include "plugin/task/task.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/watch/connections.h"
#include "plugin/watch/held.h"
#include "plugin/task/driver_call.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/restore_thread.h"
#include "plugin/trace/stuck.h"
#include "plugin/plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "plugin/device/device.h"

#define MAX_WATCHED 4096
/* Nothing announces that criu has detached from a task (its last scripts may fail), or waits. */
#define TICK_MS 1000
/* Between two tries to undo. */
#define UNDO_PAUSE_MIN_NS 10000000
#define UNDO_PAUSE_MAX_NS 640000000

static struct task *watched[MAX_WATCHED];
static size_t nr_watched;
static int criu_pidfd = -1;
static bool is_released; /* the plugin itself has rolled back or restored every task */

static struct task *find_watched(pid_t pid)
{
	for (size_t i = 0; i < nr_watched; i++)
		if (watched[i]->pid == pid)
			return watched[i];
	return NULL;
}

static struct task *add_watched(pid_t pid)
{
	struct task *mine = nr_watched < MAX_WATCHED ? calloc(1, sizeof(*mine)) : NULL;
	const int pidfd = mine ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (pidfd < 0) {
		free(mine);
		return NULL;
	}
	mine->pidfd = pidfd;
	mine->driver_pidfd = -1;
	watched[nr_watched++] = mine;
	return mine;
}

/* Takes over `driver_pidfd`, unless it is -1. */
static void track(const struct task *task, int driver_pidfd)
{
	struct task *mine = find_watched(task->pid), before;

	if (!mine)
		mine = add_watched(task->pid);
	if (!mine) {
		close(driver_pidfd);
		return;
	}
	before = *mine;
	*mine = *task;
	mine->pidfd = before.pidfd;
	mine->driver_pidfd = driver_pidfd < 0 ? before.driver_pidfd : driver_pidfd;
	if (driver_pidfd >= 0)
		close(before.driver_pidfd);
	mine->was_injected = before.was_injected;
}

/* The death of criu may stop the process from now on. */
static void note_stoppable(pid_t pid)
{
	for (size_t i = 0; i < nr_watched; i++)
		watched[i]->was_injected |= watched[i]->pid == pid;
}

/* criu waits for the answer before it changes the process. */
static void take_guards(int fd, const struct watcher_message *message, const int *fds)
{
	const struct watcher_guards *guards = &message->guards;
	int answer = 0;

	for (uint32_t i = 0; !answer && i < message->nr; i++) {
		answer = ccr__guard_take(guards->ids[i], guards->are_threads, fds + i * GUARD_FDS);
		if (guards->are_threads)
			note_stoppable(ccr__process_of(guards->ids[i]));
	}
	ccr__watcher_answer(fd, message, answer);
}

/* criu waits for the answer, and then calls no hook any more. */
static void start_second(int fd, const struct watcher_message *message)
{
	const int ret = ccr__second_watcher_start(watched, nr_watched);

	/* One that has taken over cannot know whether the first has answered; criu takes one
	 * answer. */
	ccr__watcher_answer(fd, message, ret < 0 ? ret : 0);
}

static void receive_one(int fd, const struct watcher_message *message, const int fds[WATCHER_SLOTS])
{
	switch (message->kind) {
	case WATCHER_TRACK:
		track(&message->task, fds[WATCHER_DRIVER_FD]);
		break;
	case WATCHER_RELEASE:
		is_released = true;
		break;
	case WATCHER_GUARD:
		take_guards(fd, message, fds + WATCHER_GUARD_FD);
		break;
	case WATCHER_INJECTED:
		for (uint32_t i = 0; i < message->nr; i++) {
			ccr__injected_note(&message->injected[i]);
			note_stoppable(message->injected[i].pid);
		}
		break;
	case WATCHER_INJECTION_ENDED:
		for (uint32_t i = 0; i < message->nr; i++) {
			ccr__injected_forget(message->threads[i]);
			ccr__guard_disarm(message->threads[i], true);
		}
		break;
	case WATCHER_SECOND:
		start_second(fd, message);
		break;
	case WATCHER_HOLD:
		ccr__watcher_answer(fd, message,
				    ccr__held_add(message->held, fds[WATCHER_GUARD_FD]));
		break;
	case WATCHER_LET_GO:
		ccr__held_close(message->held);
		ccr__watcher_answer(fd, message, 0);
		break;
	}
}

static bool ended(int pidfd)
{
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};

	return poll(&poller, 1, 0) > 0;
}

/*
 * criu traces all tasks until all of them are complete. It may then stay as
 * their parent for as long as they live, and tells plugins nothing until it ends.
 */
static bool all_detached(void)
{
	size_t nr_living = 0;

	for (size_t i = 0; i < nr_watched; i++) {
		const bool traced = ccr__tracer_of(watched[i]->pid) > 0;

		if (ended(watched[i]->pidfd))
			continue;
		if (traced)
			return false;
		nr_living++;
	}
	return nr_living > 0;
}

/* Collects the tasks, and what the memory part keeps for them, until criu is done with them. */
static void receive(int stage, int fd)
{
	bool was_detached = false;

	for (;;) {
		struct pollfd pollers[] = {{.fd = fd, .events = POLLIN},
					   {.fd = ccr__memory_poll_fd(), .events = POLLIN}};
		const int ready = poll(pollers, 2, TICK_MS);
		struct watcher_message message;
		int fds[WATCHER_SLOTS];

		if (!ready)
			ccr__stuck_check(stage, ccr__plugin.criu_pid, criu_pidfd);
		if (!ready && stage == STAGE_RESTORE && all_detached()) {
			is_released = was_detached;
			was_detached = true;
			if (is_released)
				return;
		}
		if (ready <= 0)
			continue;
		if (pollers[1].revents)
			ccr__memory_poll();
		if (!pollers[0].revents)
			continue;
		if (!ccr__watcher_receive(fd, &message, fds))
			return;
		ccr__memory_keep_fds(fds);
		if (fds[WATCHER_STATUS_FD] >= 0)
			ccr__plugin.status.fd = fds[WATCHER_STATUS_FD];
		receive_one(fd, &message, fds);
	}
}

/*
 * The driver completes a call whose caller has died, and until then the state of
 * the process says little. The process that makes criu's calls on it ends after the one
 * in progress.
 */
static void await_driver_call(int driver_pidfd, double deadline)
{
	struct pollfd poller = {.fd = driver_pidfd, .events = POLLIN};
	int ready;

	if (driver_pidfd < 0)
		return;
	do {
		const double left = deadline - ccr__now_ms();

		ready = poll(&poller, 1, left > 0 ? (int)left : 0);
	} while (ready < 0 && errno == EINTR);
	if (!ready)
		syscall(SYS_pidfd_send_signal, driver_pidfd, SIGKILL, NULL, 0);
}

/* For a lock we do not wait: it may take as long as the GPU works. */
static void await_driver_calls(struct task *const *tasks, size_t nr, bool is_lock)
{
	const double deadline =
		ccr__now_ms() + (is_lock ? 0 : ccr__plugin.settings.step_timeout_ms);

	for (size_t i = 0; i < nr; i++)
		await_driver_call(tasks[i]->driver_pidfd, deadline);
}

/*
 * criu was killed while the driver's lock waited for the GPU, so the lock may
 * take effect later. The driver then makes our unlock after it; for a process
 * that is not locked, the unlock fails, which does no harm.
 */
static void end_pending_lock(struct task *task)
{
	if (task->is_locking)
		ccr__task_unlock(task->pid);
	task->is_locking = false;
}

/* Finds out what there is to do about a task. Returns true if a dump has to be undone for it. */
static bool needs_undo(int stage, struct task *task)
{
	/* The pidfd is asked last: by then the pid may belong to another process. */
	if (ccr__has_ended(task->pid) || ended(task->pidfd)) {
		if (stage == STAGE_DUMP)
			ccr__memory_commit(task);
		task->is_awaited = false;
		return false;
	}
	/* criu itself has returned it to its prior state */
	if (is_released || (stage == STAGE_DUMP && task->is_awaited))
		return false;
	if (stage == STAGE_DUMP)
		return !task->is_undone;
	syscall(SYS_pidfd_send_signal, task->pidfd, SIGKILL, NULL, 0);
	if (!task->is_plain)
		ccr__task_outcome(task, "failed", "criu ended before the restore was complete");
	task->is_awaited = false;
	return false;
}

/* Tries once for each task that is left. Returns how many have to be tried again. */
static size_t undo_some(struct task **tasks, size_t nr, bool is_last)
{
	size_t left = 0;
	int ret;

	for (size_t i = 0; i < nr; i++) {
		if (ended(tasks[i]->pidfd))
			continue;
		end_pending_lock(tasks[i]);
		tasks[i]->is_undoing = true;
		ret = ccr__undo(tasks[i], is_last);
		tasks[i]->is_undoing = false;
		if (ret == -EAGAIN)
			tasks[left++] = tasks[i];
		else if (ret && tasks[i]->is_stored) /* its device memory is nowhere */
			syscall(SYS_pidfd_send_signal, tasks[i]->pidfd, SIGKILL, NULL, 0);
	}
	return left;
}

/* Only then are all threads released that it traced. */
static void await_criu(void)
{
	struct pollfd poller = {.fd = criu_pidfd, .events = POLLIN};

	if (criu_pidfd >= 0)
		poll(&poller, 1, ccr__plugin.settings.step_timeout_ms);
}

static void undo_all(int stage)
{
	struct timespec pause = {.tv_nsec = UNDO_PAUSE_MIN_NS};
	struct task *tasks[MAX_WATCHED];
	bool is_locking = false;
	double deadline;
	size_t nr = 0;

	ccr__second_watcher_check(watched, nr_watched);
	for (size_t i = 0; i < nr_watched; i++) {
		is_locking |= watched[i]->is_locking;
		if (needs_undo(stage, watched[i]))
			tasks[nr++] = watched[i];
	}
	if (!nr)
		return;
	await_criu();
	ccr__connections_unlock();
	/* The pidfd is asked again: to wait, and to fill another task, takes long. */
	for (size_t i = 0; i < nr; i++)
		if (!ended(tasks[i]->pidfd))
			ccr__undo_guarded(tasks[i]);
	await_driver_calls(tasks, nr, is_locking);
	for (size_t i = 0; i < nr; i++) {
		if (tasks[i]->is_resumed)
			ccr__restore_thread_unblock(tasks[i]->restore_tid, tasks[i]->sigmask);
		tasks[i]->is_resumed = false;
	}
	deadline = ccr__now_ms() + ccr__plugin.settings.undo_timeout_ms;
	/* No event tells that a neighbor has freed device memory. */
	while ((nr = undo_some(tasks, nr, ccr__now_ms() > deadline))) {
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < UNDO_PAUSE_MAX_NS)
			pause.tv_nsec *= 2;
	}
}

static void watch(int stage, int fd)
{
	receive(stage, fd);
	undo_all(stage);
	ccr__memory_finish(stage, watched, nr_watched);
	if (stage == STAGE_DUMP)
		ccr__files_remove();
	for (size_t i = 0; i < nr_watched; i++)
		ccr__guard_disarm(watched[i]->pid, false);
	ccr__second_watcher_end();
	_exit(0);
}

static void watcher_main(int stage, int fd)
{
	ccr__driver_call_forget();
	ccr__memory_forget_fds();
	ccr__injected_clear(); /* criu sends it again */
	ccr__guard_watch();
	if (stage == STAGE_DUMP)
		ccr__end_tracees_with_us();
	criu_pidfd = syscall(SYS_pidfd_open, ccr__plugin.criu_pid, 0);
	watch(stage, fd);
}

const struct watcher_ops ccr__watcher_ops = {
	.run = watcher_main,
	.fds = ccr__memory_fds,
	.fds_passed = ccr__memory_fds_passed,
};
