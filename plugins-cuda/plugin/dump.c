// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of a dump after the pause: checkpoint (tasks stopped), finish (roll back
 * unless the tasks are about to die). CRIU calls the hook for one process after the other: the
 * first call is for the whole tree.
 */
#include "plugin/task/task.h"
#include "plugin/task/account.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/watch/connections.h"
#include "plugin/dump_tree.h"
#include "plugin/plugin.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "plugin/host/host.h"
#include "plugin/device/device.h"
#include "plugin/trace/traced_tree.h"

int ccr__dump_resume(struct task *task, struct restore_thread *thread)
{
	int ret = ccr__restore_thread_sigmask(task->restore_tid, &task->sigmask);

	if (ret && ret != -ESRCH)
		return ret;
	task->is_resumed = !ret;
	if (task->is_resumed) {
		ret = ccr__watcher_track(task);
		if (ret)
			return ret;
	}
	return ccr__restore_thread_resume(thread, task->restore_tid);
}

int ccr__dump_stop(struct task *task, struct restore_thread *thread)
{
	const int ret = ccr__restore_thread_stop(thread);

	task->is_resumed &= ret != 0;
	return ret;
}

/* Of a process without CUDA only if it has a page file. */
static int report_memory(pid_t pid)
{
	struct task *task = ccr__task_find(pid);

	if (!task || (task->is_plain && !task->memory.page_bytes))
		return 0;
	task->memory.criu_bytes = ccr__account_resident(pid);
	ccr__account_report(task);
	return 0;
}

/* Before CRIU locks them. Returns 0 or -errno. */
static int note_connections(pid_t pid)
{
	struct task *task = ccr__task_find(pid);
	const int nr = ccr__plugin.tasks ? ccr__connections_note(pid) : 0;

	if (nr <= 0)
		return nr;
	if (!task)
		task = ccr__task_add_plain(pid);
	if (!task)
		return -ENOMEM;
	task->has_connections = true;
	task->is_changed = true;
	return ccr__watcher_track(task);
}

/* ---- the tree ---- */

/* Those whose steps are done. */
static struct {
	pid_t *pids;
	size_t nr;
} served;

static bool is_served(pid_t pid)
{
	for (size_t i = 0; i < served.nr; i++)
		if (served.pids[i] == pid)
			return true;
	return false;
}

static int note_served(pid_t pid)
{
	pid_t *bigger = realloc(served.pids, (served.nr + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	served.pids = bigger;
	served.pids[served.nr++] = pid;
	return 0;
}

static int find_member(struct dump_member *member, pid_t pid)
{
	pid_t restore_tid;
	int ret;

	*member = (struct dump_member){.pid = pid};
	ret = note_served(pid);
	if (!ret)
		ret = note_connections(pid);
	if (!ret)
		ret = ccr__task_detect(pid, &restore_tid);
	if (ret)
		return ret == -ENOTSUP ? 0 : ret;
	member->task = ccr__task_find(pid);
	if (member->task && !member->task->is_plain)
		return 0;
	ccr_err("%d initialized CUDA while the dump began; try again", pid);
	return -EAGAIN;
}

static int checkpoint_members(const struct dump_member *members, size_t nr)
{
	int ret = ccr__dump_tree(members, nr);

	for (size_t i = 0; !ret && i < nr; i++) {
		ret = report_memory(members[i].pid);
		if (!ret && members[i].task)
			ret = ccr__memory_saved(members[i].task);
	}
	return ret;
}

/* The process and what it has started. CRIU has stopped all of it. */
static int checkpoint_from(pid_t pid)
{
	struct dump_member *members;
	size_t nr = 0, nr_members = 0;
	pid_t *pids = ccr__traced_tree(pid, &nr);
	int ret;

	members = pids ? calloc(nr, sizeof(*members)) : NULL;
	ret = members ? 0 : -ENOMEM;
	for (size_t i = 0; !ret && i < nr; i++)
		if (!is_served(pids[i]))
			ret = find_member(&members[nr_members++], pids[i]);
	if (!ret)
		ret = checkpoint_members(members, nr_members);
	free(members);
	free(pids);
	return ret;
}

int ccr__checkpoint_devices(int pid)
{
	const int ret = is_served(pid) ? 0 : checkpoint_from(pid);
	const struct task *task = ccr__task_find(pid);

	/* CRIU takes -ENOTSUP as "not mine", and would write images without what is not saved. */
	if (ret)
		return ret == -ENOTSUP ? -EIO : ret;
	return task && !task->is_plain ? 0 : -ENOTSUP;
}

/* True when nothing of the task is left to the watcher. */
static bool roll_back(struct task *task)
{
	struct restore_thread thread;
	int ret;

	if (ccr__dump_resume(task, &thread))
		return false;
	ret = ccr__undo(task, true);
	ccr__dump_stop(task, &thread);
	/* The watcher tries again what failed, but must not do again what is done. */
	return !ccr__watcher_track(task) && !ret;
}

/* CRIU itself has opened its connections. */
static bool release_plain(struct task *task)
{
	task->is_undone = !ccr__host_is_empty(task);
	return !ccr__watcher_track(task);
}

/* A task whose memory is empty stays stopped when CRIU detaches from it, until the watcher has
 * filled the memory. */
static void stop_empty(void)
{
	for (const struct task *task = ccr__plugin.tasks; task; task = task->next)
		if (ccr__host_is_empty(task))
			kill(task->pid, SIGSTOP);
}

void ccr__dump_finish(int ret)
{
	bool all_rolled_back = true;

	if (!ret && opts.final_state == FINAL_DEAD) {
		/* If a post-dump script has failed, the tasks stay alive; the watcher handles that.
		 * This is the last chance to notice that it was killed, and to start another. */
		for (const struct task *task = ccr__plugin.tasks; task; task = task->next) {
			ccr__watcher_track(task);
			if (!task->is_plain)
				ccr__task_outcome(task, "dumped", NULL);
		}
		stop_empty();
		return;
	}
	ccr__host_memory_roll_back(!ret);
	for (struct task *task = ccr__plugin.tasks; task; task = task->next)
		all_rolled_back &= task->is_plain ? release_plain(task) : roll_back(task);
	stop_empty();
	if (all_rolled_back)
		ccr__watcher_release();
}
