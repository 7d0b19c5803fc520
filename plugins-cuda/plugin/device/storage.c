// SPDX-License-Identifier: GPL-2.0-only
/*
 * Custom storage: the driver maps the memory of a process into the caller of its
 * Checkpoint and Restore. That caller is the pool, never criu: it has contexts,
 * streams and staging buffers, and a call that hangs is then in a process that can be
 * ended. While it works, criu keeps the restore thread of the task running.
 */
#include "plugin/device/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/device/exchange.h"
#include "plugin/device/pool_link.h"
#include "plugin/device/through_pool.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/task.h"

/* The reason for those who ask later. */
static void note_failure(const struct exchange *exchange)
{
	if (exchange->answer.result)
		snprintf(ccr__pool_link.error, sizeof(ccr__pool_link.error), "%s",
			 ccr__exchange_failure(exchange));
}

/* ---- dump ---- */

/* Why the driver does not hand the memory of the task over; NULL if it does. */
static const char *why_not(void)
{
	const struct ccr_settings *s = &ccr__plugin.settings;

	if (s->storage == CCR_STORAGE_OFF)
		return "CRIU_CUDA_STORAGE is off";
	if (!s->parallel_restore)
		return "CRIU_CUDA_PARALLEL_RESTORE is 0";
	if (!ccr_driver_has_storage(&ccr__plugin.driver))
		return "the driver has no custom storage, which begins with driver 615";
	return NULL;
}

bool ccr__storage_is_used(void)
{
	return !why_not();
}

int ccr__storage_begin(struct task *task)
{
	const bool is_required = ccr__plugin.settings.storage == CCR_STORAGE_DRIVER;
	const char *const reason = why_not();
	int ret;

	if (task->operation) /* the interceptor has handed it over */
		return 0;
	if (reason && is_required) {
		ccr_err("%d: CRIU_CUDA_STORAGE is driver, but %s", task->pid, reason);
		return -EINVAL;
	}
	if (reason)
		return 0;
	ccr__pool_link.images_dir = criu_get_image_dir();
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	/* The pool initializes its driver while the task is locked and frozen. */
	ret = ccr__pool_connect();
	if (ret)
		return is_required ? ret : 0;
	task->storage = ccr__memory_next_operation();
	return ccr__watcher_track(task);
}

static bool is_locked(const struct task *task)
{
	CUprocessState state;

	return ccr__task_state(task->pid, &state) == CUDA_SUCCESS &&
	       state == CU_PROCESS_STATE_LOCKED;
}

static CUresult store(const struct task *task)
{
	struct exchange exchange;
	int ret;

	ccr__exchange_begin(&exchange, CCR_MSG_OP_STORE, task);
	ret = ccr__exchange_wait(&exchange);
	ccr__exchange_end(&exchange);
	/* A daemon that is ending, or one of another version: then it has not begun. */
	if (ret == -EPIPE && ccr__pool_link.is_daemon && is_locked(task) &&
	    !ccr__pool_replace(ccr__exchange_failure(&exchange))) {
		ccr__exchange_begin(&exchange, CCR_MSG_OP_STORE, task);
		ret = ccr__exchange_wait(&exchange);
		ccr__exchange_end(&exchange);
	}
	note_failure(&exchange);
	return ret ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

int ccr__storage_checkpoint(struct task *task)
{
	const double start = ccr__now_ms();
	CUresult result;

	if (!task->storage)
		return 1;
	task->is_stored = true;
	if (ccr__watcher_track(task))
		return -EIO;
	result = store(task);
	ccr__task_note_pools(task, "checkpoint", result, ccr__pool_link.error,
			     ccr__now_ms() - start);
	if (result == CUDA_SUCCESS) {
		task->memory.reason = NULL;
		return 0;
	}
	ccr_err("%d: its device memory is not saved: %s", task->pid, ccr__pool_link.error);
	/* When its image cannot be written, an undo brings it back. */
	if (ccr__plugin.settings.storage == CCR_STORAGE_DRIVER || !is_locked(task))
		return -EIO;
	ccr__pool_note_fallback(task->pid, "driver", ccr__pool_link.error);
	task->storage = 0;
	task->is_stored = false;
	return ccr__watcher_track(task) ? -EIO : 1;
}

/* ---- restore, and undo ---- */

struct storage_restore {
	struct exchange exchange;
	double start;
	bool is_again; /* another pool was asked already */
};

static CUresult result_of(int ret)
{
	switch (ret) {
	case 0:
		return CUDA_SUCCESS;
	case -EBUSY: /* a caller has died, which the driver may not have noticed yet */
		return CUDA_ERROR_NOT_READY;
	case -ENOMEM:
		return CUDA_ERROR_OUT_OF_MEMORY;
	default:
		return CUDA_ERROR_OPERATING_SYSTEM;
	}
}

static void begin(struct storage_restore *restore, const struct task *task)
{
	*restore = (struct storage_restore){.start = ccr__now_ms()};
	ccr__exchange_begin(&restore->exchange, CCR_MSG_OP_UNSTORE, task);
}

/* Returns whether another pool was asked. It has the images, and the driver's state says how far
 * the first one was. */
static bool ask_another(struct storage_restore *restore)
{
	struct exchange *exchange = &restore->exchange;
	const int result = exchange->answer.result;

	if (restore->is_again || (result != -EPIPE && result != -ETIMEDOUT))
		return false;
	restore->is_again = true;
	/* One is enough for all that the first one has left. */
	if (exchange->link == ccr__pool_link.number &&
	    ccr__memory_replace_pool(ccr__exchange_failure(exchange)))
		return false;
	ccr__exchange_end(exchange);
	ccr__exchange_begin(exchange, CCR_MSG_OP_UNSTORE, exchange->task);
	return true;
}

static bool is_done(struct storage_restore *restore)
{
	return ccr__exchange_is_done(&restore->exchange) && !ask_another(restore);
}

static CUresult end(struct storage_restore *restore, const char **call)
{
	const struct exchange *exchange = &restore->exchange;
	const CUresult result = result_of(exchange->answer.result);
	static char reason[320];

	ccr__exchange_end(&restore->exchange);
	note_failure(exchange);
	ccr__task_note_pools(exchange->task, "restore", result, ccr__exchange_failure(exchange),
			     ccr__now_ms() - restore->start);
	snprintf(reason, sizeof(reason), "restore from its GPU image (%s)",
		 ccr__exchange_failure(exchange));
	*call = reason;
	return result;
}

CUresult ccr__storage_undo(const struct task *task, const char **call)
{
	struct storage_restore restore;
	CUprocessState state;

	if (!task->is_stored)
		return CUDA_SUCCESS;
	/* The pool had not come to the Checkpoint. */
	if (ccr__task_state(task->pid, &state) == CUDA_SUCCESS &&
	    (state == CU_PROCESS_STATE_RUNNING || state == CU_PROCESS_STATE_LOCKED))
		return CUDA_SUCCESS;
	begin(&restore, task);
	while (!is_done(&restore))
		ccr__exchange_wait(&restore.exchange);
	return end(&restore, call);
}

int ccr__storage_restore_begin(struct task *task, struct storage_restore **restore)
{
	*restore = NULL;
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0 || !ccr__files_have_driver(task->image_pid))
		return 0;
	*restore = malloc(sizeof(**restore));
	if (!*restore)
		return -ENOMEM;
	task->storage = ccr__memory_next_operation();
	begin(*restore, task);
	return 0;
}

bool ccr__storage_restore_is_done(struct storage_restore *restore)
{
	return is_done(restore);
}

CUresult ccr__storage_restore_end(struct storage_restore *restore, const char **call)
{
	const CUresult result = end(restore, call);

	free(restore);
	return result;
}

void ccr__storage_restore_forget(struct storage_restore *restore)
{
	if (restore)
		ccr__exchange_end(&restore->exchange);
	free(restore);
}

int ccr__storage_fd(void)
{
	return ccr__pool_link.socket;
}
