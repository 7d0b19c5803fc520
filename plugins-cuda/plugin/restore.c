// SPDX-License-Identifier: GPL-2.0-only
/*
 * A restore: CRIU has restored all processes, with CUDA in the checkpointed state
 * and every thread stopped; the driver restores the device part through the
 * restore threads. CRIU calls the hook for one process after the other: the first
 * call restores the whole tree, because nothing that one process needs depends on
 * another. CRIU ignores what the hook returns, so on failure we kill the tasks
 * here: none may run without its GPU.
 */
#include "plugin/task/account.h"
#include "plugin/task/report.h"
#include "plugin/task/task.h"
#include "plugin/trace/end_traced.h"
#include "plugin/trace/stuck.h"
#include "plugin/trace/traced_tree.h"
#include "plugin/plugin.h"
#include "plugin/restore_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/process.h"
#include "plugin/host/host.h"
#include "plugin/device/device.h"

static void fail_restore(const struct task *task, const char *call, const char *error)
{
	char reason[384];

	snprintf(reason, sizeof(reason), "%s: %s", call, error);
	ccr_err("device restore of %d failed: %s; killing the restored processes", task->pid,
		reason);
	ccr__task_outcome(task, "failed", reason);
	ccr__plugin.restore_failed = true;
	ccr__end_traced();
}

/* Before anything of the task is changed. Users expect a restored process to run, whatever state it
 * was in at the dump. */
static struct task *add_task(pid_t pid, int *ret)
{
	pid_t restore_tid = 0;
	struct task *task;

	ccr__stuck_add(pid);
	*ret = ccr__task_detect(pid, &restore_tid);
	task = ccr__task_add(pid, restore_tid, CU_PROCESS_STATE_CHECKPOINTED);
	if (!task)
		return NULL;
	task->is_plain = *ret == -ENOTSUP;
	task->result = *ret;
	return task;
}

/* Returns 0, or -errno after the tasks were killed. */
static int prepare(struct task *task)
{
	int ret = task->is_plain ? 0 : task->result;

	if (ccr__end_all_with_criu(task->pid) || (task->is_plain && ccr__watcher_track(task))) {
		fail_restore(task, "preparation for the death of criu", "see the log");
		return -EIO;
	}
	if (task->is_plain)
		return 0;
	if (!ret)
		ret = ccr__begin(STAGE_RESTORE);
	if (!ret) {
		ccr__report_process(task->pid);
		ret = ccr__watcher_track(task);
	}
	if (ret)
		fail_restore(task, "start of the watcher", strerror(-ret));
	return ret;
}

/* A member with nothing to restore has no memory of ours. */
static int open_host_memory(struct member *member)
{
	struct task *task = member->task;
	int ret;

	if (!task->is_plain)
		task->memory.criu_bytes = ccr__account_resident(task->pid);
	ret = ccr__host_memory_open(&member->host, task->pid, &member->bytes);
	task->memory.page_bytes = member->bytes.stored;
	if (ret)
		fail_restore(task, "restore of its host memory", strerror(-ret));
	return ret;
}

/* What the driver takes longest for is filled first; then the driver works while others are filled.
 */
static int by_driver(const void *a, const void *b)
{
	const struct member *left = a, *right = b;

	if (left->task->is_plain != right->task->is_plain)
		return left->task->is_plain - right->task->is_plain;
	return (left->bytes.drivers < right->bytes.drivers) -
	       (left->bytes.drivers > right->bytes.drivers);
}

/* A process without CUDA whose host memory came from a page file. */
static void report_plain(struct task *task)
{
	const uint64_t resident = ccr__account_resident(task->pid);

	if (!task->memory.page_bytes)
		return;
	if (resident > task->memory.page_bytes)
		task->memory.criu_bytes = resident - task->memory.page_bytes;
	ccr__account_report(task);
}

static void report(struct task *task)
{
	if (task->is_plain) {
		report_plain(task);
		return;
	}
	ccr__account_report(task);
	ccr__task_outcome(task, "restored", NULL);
}

static int restore_members(struct member *members, size_t nr)
{
	struct restore_failure failure;
	int ret;

	qsort(members, nr, sizeof(*members), by_driver);
	ret = ccr__restore_tree(members, nr, &failure);
	if (!ret) {
		failure.call = "load of its device memory";
		ret = ccr__memory_loaded(&failure.task, &failure.error);
	}
	if (ret) {
		fail_restore(failure.task, failure.call, failure.error);
		ccr__restore_tree_end(members, nr);
		return ret;
	}
	for (size_t i = 0; i < nr; i++)
		report(members[i].task);
	return 0;
}

static int restore_pids(const pid_t *pids, size_t nr)
{
	struct member *members = calloc(nr, sizeof(*members));
	int ret = members ? 0 : -ENOMEM;

	for (size_t i = 0; members && i < nr; i++) {
		members[i].task = add_task(pids[i], &ret);
		if (!members[i].task) {
			free(members);
			return -ENOMEM;
		}
	}
	for (size_t i = 0; members && i < nr; i++) {
		ret = prepare(members[i].task);
		if (!ret)
			ret = open_host_memory(&members[i]);
		if (ret)
			break;
	}
	if (!ret)
		ret = restore_members(members, nr);
	for (size_t i = 0; members && i < nr; i++)
		if (ret)
			ccr__host_memory_close(members[i].host, false);
	free(members);
	return ret;
}

/* Restores the process and what it has started. */
static int restore_from(pid_t pid)
{
	size_t nr = 0;
	pid_t *pids = ccr__traced_tree(pid, &nr);
	const int ret = pids ? restore_pids(pids, nr) : -ENOMEM;

	free(pids);
	if (ret && !ccr__plugin.restore_failed) {
		ccr_err("out of memory; killing the restored processes");
		ccr__plugin.restore_failed = true;
		ccr__end_traced();
	}
	return ret;
}

int ccr__resume_devices_late(int pid)
{
	const struct task *task;
	int ret = 0;

	if (ccr__plugin.restore_failed) {
		if (!ccr_is_dying(pid))
			ccr__end_traced();
		return -ECANCELED;
	}
	if (!ccr__task_find(pid))
		ret = restore_from(pid);
	task = ccr__task_find(pid);
	return ret || !task ? ret : task->result;
}
