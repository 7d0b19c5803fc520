// SPDX-License-Identifier: GPL-2.0-only
/*
 * The undo of a dump for one task, from its record: criu calls it when the dump
 * failed or leaves the tasks running, the watcher when criu has ended. It asks
 * the driver for the state instead of remembering which calls succeeded, so it can be
 * repeated, and a call whose caller died does no harm.
 */
#include "plugin/plugin.h"
#include "plugin/task/raise.h"
#include "plugin/task/task.h"

#include <errno.h>
#include <stdio.h>

#include "plugin/device/device.h"
#include "plugin/trace/proc_status.h"

/* Whether the same call may succeed later: a neighbor frees memory, or a call of a caller that has
 * died is still in progress. */
static bool may_pass(CUresult result)
{
	switch (result) {
	case CUDA_ERROR_OUT_OF_MEMORY:
	case CUDA_ERROR_NOT_READY:
	case CUDA_ERROR_ILLEGAL_STATE:
	case CUDA_ERROR_DEVICE_UNAVAILABLE:
		return true;
	default:
		return false;
	}
}

/* Not the last word in criu: the watcher tries again. */
static int fail(const struct task *task, const char *reason)
{
	ccr_err("cannot return %d to the %s state: %s", task->pid, ccr__state_name(task->prior),
		reason);
	ccr__task_outcome(task, "failed", reason);
	return -EIO;
}

static int undo_driver(const struct task *task, bool is_last)
{
	const char *call, *why;
	char reason[384];
	CUresult result = ccr__storage_undo(task, &call);

	if (result == CUDA_SUCCESS)
		result = ccr__task_raise(task, task->prior, &call);
	if (result == CUDA_SUCCESS)
		return 0;
	if (may_pass(result) && !is_last)
		return -EAGAIN;
	why = ccr__why_ended(task->pid);
	snprintf(reason, sizeof(reason), "%s: %s", call, ccr_cuda_error_name(result));
	return fail(task, why ? why : reason);
}

int ccr__undo(struct task *task, bool is_last)
{
	int ret;

	if (task->is_undone)
		return 0;
	if (task->is_plain) {
		task->is_undone = true;
		return 0;
	}
	ret = undo_driver(task, is_last);
	if (ret)
		return ret;
	if (ccr__memory_roll_back(task))
		return fail(task, "the pool does not return its device memory");
	ccr__task_outcome(task, "rolled-back", NULL);
	task->is_undone = true;
	return 0;
}
