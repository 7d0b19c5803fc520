// SPDX-License-Identifier: GPL-2.0-only
/* The driver calls on one CUDA process, and the list of such processes. */
#include "plugin/task/task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/task/driver_call.h"
#include "plugin/task/report.h"

/* The driver ends a lock at the time limit itself, unless the process does not run. */
#define LOCK_MARGIN_MS 5000

const char *ccr__state_name(CUprocessState state)
{
	switch (state) {
	case CU_PROCESS_STATE_RUNNING:
		return "running";
	case CU_PROCESS_STATE_LOCKED:
		return "locked";
	case CU_PROCESS_STATE_CHECKPOINTED:
		return "checkpointed";
	case CU_PROCESS_STATE_FAILED:
		return "failed";
	case CU_PROCESS_STATE_CHECKPOINTING:
		return "checkpointing";
	case CU_PROCESS_STATE_RESTORING:
		return "restoring";
	}
	return "unknown";
}

static CUresult get_restore_tid(pid_t pid, int *tid)
{
	return ccr__plugin.driver.cuCheckpointProcessGetRestoreThreadId(pid, tid);
}

int ccr__task_detect(pid_t pid, pid_t *restore_tid)
{
	const CUresult result = ccr__driver_call(get_restore_tid, pid, restore_tid);

	switch (result) {
	case CUDA_SUCCESS:
		return 0;
	case CUDA_ERROR_NOT_INITIALIZED:  /* a process that has not called cuInit */
	case CUDA_ERROR_INVALID_VALUE:	  /* one that the driver does not know */
	case CUDA_ERROR_OPERATING_SYSTEM: /* one that is gone, or a zombie */
		ccr_debug("no CUDA in %d (%s)", pid, ccr_cuda_error_name(result));
		return -ENOTSUP;
	default:
		ccr_err("cannot find the restore thread of %d: %s", pid,
			ccr_cuda_error_name(result));
		return -EIO;
	}
}

struct task *ccr__task_add(pid_t pid, pid_t restore_tid, CUprocessState prior)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task) {
		ccr_err("cannot track %d: out of memory", pid);
		return NULL;
	}
	task->pid = pid;
	task->restore_tid = restore_tid;
	task->prior = prior;
	task->next = ccr__plugin.tasks;
	ccr__plugin.tasks = task;
	return task;
}

struct task *ccr__task_add_plain(pid_t pid)
{
	struct task *task = ccr__task_add(pid, 0, CU_PROCESS_STATE_RUNNING);

	if (task)
		task->is_plain = true;
	return task;
}

struct task *ccr__task_find(pid_t pid)
{
	struct task *task = ccr__plugin.tasks;

	while (task && task->pid != pid)
		task = task->next;
	return task;
}

void ccr__task_free_all(void)
{
	while (ccr__plugin.tasks) {
		struct task *task = ccr__plugin.tasks;

		ccr__plugin.tasks = task->next;
		free(task);
	}
}

CUresult ccr__driver_get_state(pid_t pid, int *answer)
{
	CUprocessState state = CU_PROCESS_STATE_FAILED;
	const CUresult result = ccr__plugin.driver.cuCheckpointProcessGetState(pid, &state);

	*answer = state;
	return result;
}

CUresult ccr__task_state(pid_t pid, CUprocessState *state)
{
	int answer = CU_PROCESS_STATE_FAILED;
	const CUresult result = ccr__driver_call(ccr__driver_get_state, pid, &answer);

	*state = answer;
	if (result != CUDA_SUCCESS)
		ccr_err("cannot get the state of %d: %s", pid, ccr_cuda_error_name(result));
	return result;
}

static CUresult lock(pid_t pid, int *unused)
{
	CUcheckpointLockArgs args = {.timeoutMs = ccr__plugin.settings.lock_timeout_ms};

	return ccr__plugin.driver.cuCheckpointProcessLock(pid, &args);
}

static CUresult try_lock(pid_t pid, int *unused)
{
	CUcheckpointLockArgs args = {.timeoutMs = 1};

	return ccr__plugin.driver.cuCheckpointProcessLock(pid, &args);
}

CUresult ccr__driver_unlock(pid_t pid, int *unused)
{
	return ccr__plugin.driver.cuCheckpointProcessUnlock(pid, NULL);
}

CUresult ccr__task_note_pools(const struct task *task, const char *step, CUresult result,
			      const char *reason, double ms)
{
	const char *const name = ccr_cuda_error_name(result);
	const bool is_explained = result != CUDA_SUCCESS && reason;
	char quoted[768];

	ccr__plugin.driver_ms += ms;
	if (result == CUDA_SUCCESS)
		ccr_info("%s of %d: %.1f ms", step, task->pid, ms);
	else if (is_explained)
		ccr_err("%s of %d failed: %s, after %.1f ms", step, task->pid, reason, ms);
	else
		ccr_err("%s of %d failed: %s (%d) after %.1f ms", step, task->pid, name, result,
			ms);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"step\",\"pid\":%d,\"step\":\"%s\",\"result\":%d,\"name\":\"%"
		       "s\",\"ms\":%.3f%s%s%s}",
		       task->pid, step, result, name, ms, is_explained ? ",\"reason\":\"" : "",
		       is_explained ? ccr_status_quoted(quoted, sizeof(quoted), reason) : "",
		       is_explained ? "\"" : "");
	return result;
}

CUresult ccr__task_note(const struct task *task, const char *step, CUresult result, double ms)
{
	return ccr__task_note_pools(task, step, result, NULL, ms);
}

static CUresult call_within(pid_t pid, CUresult (*function)(pid_t pid, int *unused), int timeout_ms)
{
	struct driver_call call = {.function = function, .pid = pid, .timeout_ms = timeout_ms};

	call.result = CCR_DRIVER_CALL_LOST;
	if (!ccr__driver_call_begin(&call))
		ccr__driver_call_end(&call);
	return call.result;
}

static CUresult make(const struct task *task, const char *step,
		     CUresult (*function)(pid_t pid, int *unused), int timeout_ms)
{
	const double start = ccr__now_ms();
	const CUresult result = call_within(task->pid, function, timeout_ms);

	return ccr__task_note(task, step, result, ccr__now_ms() - start);
}

CUresult ccr__task_lock(const struct task *task)
{
	return make(task, "lock", lock, ccr__plugin.settings.lock_timeout_ms + LOCK_MARGIN_MS);
}

CUresult ccr__task_try_lock(const struct task *task)
{
	const CUresult result = call_within(task->pid, try_lock, LOCK_MARGIN_MS);

	if (result == CUDA_SUCCESS)
		ccr__task_unlock(task->pid);
	return result == CUDA_ERROR_NOT_READY ? CUDA_SUCCESS : result; /* it is only busy */
}

void ccr__task_unlock(pid_t pid)
{
	ccr__driver_call(ccr__driver_unlock, pid, NULL);
}

void ccr__task_outcome(const struct task *task, const char *outcome, const char *reason)
{
	char quoted[768];

	if (!strcmp(outcome, "failed"))
		ccr__report_task_failure(task->pid, reason ? reason : "the log says why");
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"task\",\"pid\":%d,\"outcome\":\"%s\",\"prior\":\"%s\"%s%s%s}",
		       task->pid, outcome, ccr__state_name(task->prior),
		       reason ? ",\"reason\":\"" : "",
		       reason ? ccr_status_quoted(quoted, sizeof(quoted), reason) : "",
		       reason ? "\"" : "");
}
