// SPDX-License-Identifier: GPL-2.0-only
/* What the watcher undoes in a process that the death of criu has stopped. */
#include "plugin/plugin.h"
#include "plugin/trace/seize.h"
#include "plugin/task/task.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/host/host.h"
#include "plugin/inject/inject.h"

static int disarm_thread(const struct injected *one)
{
	ccr__guard_disarm(one->tid, true);
	return 0;
}

/* Once the process is stopped, a guard must not stop it again; SIGKILL stays armed. */
static void disarm_stop(pid_t pid)
{
	ccr__guard_stop(pid, false, false);
	ccr__injected_for_each(pid, disarm_thread);
}

/*
 * Restores what must not be seen changed: the registers of threads that were injected
 * into, and host memory. A process that was changed is under guard, so the death
 * of criu has stopped it. Returns 0 or -errno.
 */
static int undo_stopped(struct task *task)
{
	int ret = ccr__seize(task->pid);

	if (!ret)
		disarm_stop(task->pid);
	if (!ret)
		ret = ccr__seize_continue(task->pid);
	if (!ret)
		ret = ccr__injected_for_each(task->pid, ccr__inject_recover);
	if (!ret && ccr__host_is_empty(task))
		ret = ccr__host_memory_undo(task->pid);
	if (ret)
		return ret;
	task->host_state = HOST_FILLED;
	return ccr__seize_end(task->pid);
}

/* criu announces the end of an injection before it disarms the guard, and may die in between. */
static bool was_stopped(const struct task *task)
{
	return task->was_injected && ccr__is_stopping(task->pid);
}

void ccr__undo_guarded(struct task *task)
{
	int ret;

	/* By a watcher that was killed later, whose notes of threads only it had. */
	if (task->is_recovered)
		return;
	if (!ccr__guard_stops(task->pid) && !ccr__injected_any(task->pid) && !was_stopped(task))
		return;
	/* criu has filled its memory and disarmed the guard, so nothing stopped it. */
	if (!ccr__host_is_empty(task) && !ccr__injected_any(task->pid) &&
	    !ccr__is_stopping(task->pid)) {
		ccr__guard_disarm(task->pid, false);
		return;
	}
	task->is_undoing = true;
	ret = undo_stopped(task);
	task->is_undoing = false;
	task->is_recovered = !ret;
	if (!ret)
		return;
	/* It must not run on wrong memory, or with our system calls. */
	syscall(SYS_pidfd_send_signal, task->pidfd, SIGKILL, NULL, 0);
	ccr__task_outcome(task, "failed", "its memory cannot be filled again; it was killed");
	task->is_undone = true;
}
