// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory through the pool: the interceptor's service thread in the task
 * hands its allocations to cuda-poold, which copies the bytes. This file only
 * decides when, and sends the pool a connection to that thread.
 */
#include "plugin/device/device.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/service_thread.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/device/through_pool.h"
#include "plugin/device/fd_backup.h"
#include "plugin/device/missing.h"
#include "plugin/device/pool_link.h"
#include "plugin/watch/watcher_link.h"

/* Variant `full` leaves to the driver what the pool cannot take; `parallel` fails the dump. */
#ifdef CCR_POOL_DAEMON
#define FALLS_BACK true
#else
#define FALLS_BACK false
#endif

int ccr__memory_wait_ready(const struct task *task)
{
	struct ccr_message reply;

	return ccr__pool_reply(CCR_MSG_OP_READY, task->operation, &reply,
			       ccr__plugin.settings.step_timeout_ms);
}

uint32_t ccr__memory_next_operation(void)
{
	static uint32_t number;

	return ((uint32_t)getpid() << CCR_OP_PID_SHIFT) + number++;
}

/* An interceptor that this version does not understand: connecting to it would fail. */
static bool is_foreign(const struct task *task)
{
	struct ccr_mailbox mailbox;

	return ccr_mailbox_read(task->pid, &mailbox, NULL) ||
	       !ccr_protocol_is_supported(mailbox.protocol);
}

bool ccr__memory_is_gated(pid_t service_tid)
{
	char name[32] = "";

	return service_tid > 0 && !ccr__proc_status(service_tid, "Name", name, sizeof(name)) &&
	       !strcmp(name + strspn(name, "\t "), CCR_SERVICE_COMM_GATED);
}

/* Why the pool does not move the memory of the task; NULL if it does. */
static const char *why_not(const struct task *task)
{
	if (!task->service_tid)
		return ccr__why_no_interceptor(task->pid);
	if (!ccr__plugin.settings.parallel_restore)
		return "CRIU_CUDA_PARALLEL_RESTORE is 0";
	if (ccr__plugin.settings.storage == CCR_STORAGE_DRIVER)
		return "CRIU_CUDA_STORAGE is driver";
	if (FALLS_BACK && is_foreign(task))
		return "its interceptor is of another version";
	return NULL;
}

/* A new pool would not have what this one holds for other tasks. */
static bool is_in_use(const struct task *task)
{
	for (const struct task *t = ccr__plugin.tasks; t; t = t->next)
		if (t != task && t->operation)
			return true;
	return false;
}

int ccr__memory_begin_dump(void)
{
	int ret;

	ccr__pool_link.images_dir = criu_get_image_dir();
	ret = ccr__fd_backup_open();
	return ret ? ret : ccr__pool_connect();
}

/* The pool is connected to a task that has joined a group. */
static int request_dump(struct task *task)
{
	const uint32_t own = task->is_joined ? 0 : CCR_OP_PIDFD | CCR_OP_CONNECTION;
	int ret = 0;

	if (task->is_joined) {
		task->is_joined = false;
		ret = ccr__watcher_track(task);
	}
	if (!ret)
		ret = ccr__pool_request(CCR_MSG_OP_DUMP, task,
					CCR_OP_IMAGES | CCR_OP_STATUS | CCR_OP_FD_BACKUP |
						CCR_OP_EARLIER | own);
	return ret ? ret : ccr__memory_wait_ready(task);
}

static int begin_dump(struct task *task)
{
	int ret;

	if (task->is_joined)
		return request_dump(task);
	ret = ccr__memory_begin_dump();
	task->operation = ccr__memory_next_operation();
	if (!ret)
		ret = ccr__watcher_track(task);
	if (!ret)
		ret = request_dump(task);
	if (ret != -EPIPE || !ccr__pool_link.is_daemon || is_in_use(task))
		return ret;
	/* A daemon that is ending, or one of another version. */
	ret = ccr__pool_replace("it has ended, or is of another version");
	return ret ? ret : request_dump(task);
}

int ccr__memory_is_moved(struct task *task)
{
	task->service_tid = ccr__service_thread(task->pid);
	if (task->service_tid < 0)
		return task->service_tid;
	task->memory.reason = why_not(task);
	if (!task->memory.reason)
		return 1;
	if (ccr__memory_is_gated(task->service_tid)) {
		ccr_err("%d does not have its device memory yet; dump it when it has", task->pid);
		return -EBUSY;
	}
	ccr_info("%d: device memory is left to the driver: %s", task->pid, task->memory.reason);
	task->service_tid = 0;
	return 0;
}

/* `is_kept`: the failure came before the task released anything. */
static int hand_over(struct task *task, bool *is_kept)
{
	struct ccr_message reply;
	int ret = begin_dump(task);

	*is_kept = ret;
	if (ret)
		return ret;
	ret = ccr__pool_reply(CCR_MSG_OP_HELD, task->operation, &reply,
			      ccr__plugin.settings.copy_timeout_ms);
	/* -EPIPE: the watcher finds out whether the task still has its memory. */
	*is_kept = ret && ret != -EPIPE;
	if (!ret)
		ccr_info("%d: %llu bytes in %llu allocations handed over to the pool in %.1f ms",
			 task->pid, (unsigned long long)reply.done.bytes,
			 (unsigned long long)reply.done.nr_handles, reply.done.wait_ms);
	return ret;
}

const char *ccr__memory_failure(int ret)
{
	return *ccr__pool_link.error ? ccr__pool_link.error : strerror(-ret);
}

/* The driver cannot save imported memory and shared events, and others need what was exported. */
static bool is_sharing(const struct task *task)
{
	struct ccr_mailbox mailbox;

	return !ccr_mailbox_read(task->pid, &mailbox, NULL) &&
	       (mailbox.kept_imports || mailbox.kept_exports || mailbox.event_imports ||
		mailbox.event_pages);
}

/* A member of a group waits on behind its gate: nothing of it runs, whatever the others do. */
static int note_kept(struct task *task, bool was_joined)
{
	task->is_joined = was_joined && ccr__memory_is_gated(task->service_tid);
	if (!task->is_joined)
		task->operation = 0;
	return ccr__watcher_track(task);
}

int ccr__memory_evict(struct task *task)
{
	struct pool_link *const link = &ccr__pool_link;
	const bool was_joined = task->is_joined;
	bool is_kept, was_gated;
	int ret;

	if (!task->service_tid)
		return 0;
	was_gated = !was_joined && ccr__memory_is_gated(task->service_tid);
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	*link->error = '\0';
	ret = hand_over(task, &is_kept);
	/* It may lack a device, or the rights, that a helper has. */
	if (is_kept && ret != -ETIMEDOUT && link->is_daemon && !is_in_use(task) &&
	    !ccr__pool_replace(ccr__memory_failure(ret)))
		ret = hand_over(task, &is_kept);
	if (!is_kept)
		return ret;
	if (note_kept(task, was_joined))
		return -EIO;
	/* After a timeout, the driver would wait for the same work. */
	if (!FALLS_BACK || was_gated || ret == -ETIMEDOUT || is_sharing(task))
		return ret;
	task->memory.reason = "the pool could not take it";
	ccr__pool_note_fallback(task->pid, "driver", ccr__memory_failure(ret));
	task->service_tid = 0;
	return 1;
}

int ccr__memory_saved(struct task *task)
{
	struct ccr_message reply;
	int ret;

	if (!task->operation)
		return 0;
	if (task->is_saved)
		return task->save_result;
	ret = ccr__pool_reply(CCR_MSG_OP_RESULT, task->operation, &reply,
			      ccr__plugin.settings.copy_timeout_ms);
	if (!ret)
		ccr_info("%d: device memory saved in %.1f ms", task->pid, reply.done.copy_ms);
	return ret;
}

int ccr__memory_roll_back(struct task *task)
{
	int ret;

	if (!task->operation)
		return 0;
	ccr_status_add(&ccr__plugin.status, "{\"event\":\"attaching\",\"pid\":%d,\"operation\":%u}",
		       task->pid, task->operation);
	task->is_awaited = true;
	ret = ccr__pool_request(CCR_MSG_OP_ROLL_BACK, task,
				task->is_joined ? 0 : CCR_OP_CONNECTION);
	/* Without the pool, the watcher returns the memory from the descriptor backup. */
	return ret == -EPIPE ? 0 : ret;
}

void ccr__memory_commit(const struct task *task)
{
	if (task->operation)
		ccr__pool_request(CCR_MSG_OP_COMMIT, task, 0);
}

bool ccr__memory_has_pool(void)
{
	return ccr__pool_link.socket >= 0;
}
