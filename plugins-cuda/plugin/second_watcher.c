// SPDX-License-Identifier: GPL-2.0-only
/*
 * After the plugin's last hook, criu can no longer replace a watcher that was
 * killed. So there are two of them from then on: the second is a fork of the first
 * and does nothing until the first has ended without completing its work. Then it
 * takes over, with a second watcher of its own. They share the records of the
 * tasks, so it knows how far the first one came. Both keep the guards: only when all
 * of them and criu have died does the kernel kill the processes.
 */
#include "plugin/plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/device/device.h"
#include "plugin/watch/background.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/task.h"

#define NAME	    "cuda-watcher"
#define SECOND_NAME "cuda-watcher-2"

static struct shared {
	bool is_complete; /* the work of the watchers */
	struct task tasks[];
} * shared;

/* Moves the records to memory that a forked process shares. Returns 0 or -errno. */
static int share(struct task **tasks, size_t nr)
{
	if (shared)
		return 0;
	shared = ccr__background_memory(sizeof(*shared) + nr * sizeof(*shared->tasks));
	if (!shared)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		shared->tasks[i] = *tasks[i];
		tasks[i] = &shared->tasks[i];
	}
	return 0;
}

/* Returns when the first watcher was killed. */
static void await_first(int first)
{
	struct pollfd poller = {.fd = first, .events = POLLIN};

	while (poll(&poller, 1, -1) < 0)
		;
	close(first);
	if (shared->is_complete)
		_exit(0);
}

/* Returns 0 in the first watcher, 1 in the second, or -errno. */
static int fork_second(void)
{
	const int first = (int)syscall(SYS_pidfd_open, getpid(), 0);
	const pid_t second = first < 0 ? -1 : fork();
	const int ret = second < 0 ? -errno : second ? 0 : 1;

	if (second > 0)
		ccr_status_add(&ccr__plugin.status, "{\"event\":\"watcher\",\"pid\":%d}", second);
	if (second && first >= 0)
		close(first);
	if (ret != 1)
		return ret;
	prctl(PR_SET_NAME, SECOND_NAME);
	await_first(first);
	prctl(PR_SET_NAME, NAME);
	return 1;
}

int ccr__second_watcher_start(struct task **tasks, size_t nr)
{
	bool is_second = false;
	int ret;

	/* What the pool has sent to the first one is lost with it. */
	ccr__memory_poll();
	do {
		ret = share(tasks, nr);
		if (!ret)
			ret = fork_second();
		is_second |= ret > 0;
	} while (ret > 0);
	if (is_second)
		ccr__memory_ask_again(tasks, nr);
	return is_second ? 1 : ret;
}

static void kill_and_wait(const struct task *task)
{
	struct pollfd poller = {.fd = task->pidfd, .events = POLLIN};

	if (poll(&poller, 1, 0) > 0 && !task->is_undoing)
		return;
	syscall(SYS_pidfd_send_signal, task->pidfd, SIGKILL, NULL, 0);
	ccr__task_outcome(task, "failed",
			  "a watcher was killed while it had stopped the processes; they were "
			  "killed");
	poll(&poller, 1, ccr__plugin.settings.step_timeout_ms);
}

void ccr__second_watcher_check(struct task *const *tasks, size_t nr)
{
	bool is_broken = false;

	for (size_t i = 0; i < nr; i++)
		is_broken |= tasks[i]->is_undoing && ccr__has_ended(tasks[i]->pid);
	for (size_t i = 0; is_broken && i < nr; i++)
		kill_and_wait(tasks[i]);
}

void ccr__second_watcher_end(void)
{
	if (shared)
		shared->is_complete = true;
}
