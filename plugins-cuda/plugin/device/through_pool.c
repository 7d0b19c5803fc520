// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory through the pool: the interceptor's service thread in the task
 * hands its allocations to cuda-poold, which copies the bytes. This file only
 * decides when, and sends the pool a connection to that thread.
 */
#include "plugin/device/device.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/task/proc_status.h"
#include "plugin/task/service_thread.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/device/through_pool.h"
#include "plugin/device/fd_backup.h"
#include "plugin/device/pool_link.h"
#include "plugin/task/watcher_link.h"

/* How long the pool may take to start: cuInit and a context on a cold GPU. */
#define READY_TIMEOUT_MS 60000
/* A copy may take as long as it needs; after an hour the device hangs. */
#define COPY_TIMEOUT_MS 3600000

static int wait_ready(const struct task *task)
{
	struct ccr_message reply;

	return ccr__pool_reply(CCR_MSG_OP_READY, task->operation, &reply, READY_TIMEOUT_MS);
}

/* The number of the next operation, for which the watcher knows the task before it begins. */
static uint32_t next_operation(void)
{
	static uint32_t number;

	return ((uint32_t)getpid() << CCR_OP_PID_SHIFT) + number++;
}

/* ---- dump ---- */

static bool pool_wanted(const struct task *task)
{
	if (!task->service_tid)
		ccr_info("%d: no interceptor, device memory is left to the driver", task->pid);
	else if (!ccr__plugin.settings.parallel_restore)
		ccr_info("%d: CRIU_CUDA_PARALLEL_RESTORE=0, device memory is left to the driver",
			 task->pid);
	else
		return true;
	return false;
}

/* A new pool would not have what this one holds for other tasks. */
static bool is_in_use(const struct task *task)
{
	for (const struct task *t = ccr__plugin.tasks; t; t = t->next)
		if (t != task && t->operation)
			return true;
	return false;
}

static int request_dump(struct task *task)
{
	const uint32_t fds =
		CCR_OP_IMAGES | CCR_OP_STATUS | CCR_OP_FD_BACKUP | CCR_OP_PIDFD | CCR_OP_CONNECTION;
	const int ret = ccr__pool_request(CCR_MSG_OP_DUMP, task, fds);

	return ret ? ret : wait_ready(task);
}

static int begin_dump(struct task *task)
{
	int ret;

	ccr__pool_link.images_dir = criu_get_image_dir();
	ret = ccr__fd_backup_open();
	if (!ret)
		ret = ccr__pool_connect();
	task->operation = next_operation();
	if (!ret)
		ret = ccr__watcher_track(task);
	if (!ret)
		ret = request_dump(task);
	if (ret != -EPIPE || !ccr__pool_link.is_daemon || is_in_use(task))
		return ret;
	/* A daemon that is ending, or one of another version. */
	ret = ccr__pool_replace();
	return ret ? ret : request_dump(task);
}

int ccr__memory_is_moved(struct task *task)
{
	task->service_tid = ccr__service_thread(task->pid);
	if (task->service_tid < 0)
		return task->service_tid;
	if (pool_wanted(task))
		return 1;
	task->service_tid = 0;
	return 0;
}

int ccr__memory_evict(struct task *task)
{
	struct ccr_message reply;
	int ret;

	if (!task->service_tid)
		return 0;
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	ret = begin_dump(task);
	if (ret)
		goto kept;
	ret = ccr__pool_reply(CCR_MSG_OP_HELD, task->operation, &reply, COPY_TIMEOUT_MS);
	if (ret == -EPIPE) /* the watcher finds out whether the task still has its memory */
		return ret;
	if (ret)
		goto kept;
	ccr_info("%d: %llu bytes in %llu allocations handed over to the pool in %.1f ms", task->pid,
		 (unsigned long long)reply.done.bytes, (unsigned long long)reply.done.nr_handles,
		 reply.done.wait_ms);
	return 0;
kept:
	task->operation = 0;
	return ret;
}

int ccr__memory_saved(struct task *task)
{
	struct ccr_message reply;
	int ret;

	if (!task->operation)
		return 0;
	if (task->is_saved)
		return task->save_result;
	ret = ccr__pool_reply(CCR_MSG_OP_RESULT, task->operation, &reply, COPY_TIMEOUT_MS);
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
	ret = ccr__pool_request(CCR_MSG_OP_ROLL_BACK, task, CCR_OP_CONNECTION);
	/* Without the pool, the watcher returns the memory from the descriptor backup. */
	return ret == -EPIPE ? 0 : ret;
}

void ccr__memory_commit(const struct task *task)
{
	if (task->operation)
		ccr__pool_request(CCR_MSG_OP_COMMIT, task, 0);
}

/* ---- restore ---- */

int ccr__memory_request_load(void)
{
	struct ccr_message reply;
	int ret;

	ret = ccr__pool_request(CCR_MSG_OP_RESTORE, NULL, CCR_OP_IMAGES | CCR_OP_STATUS);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_RESULT, 0, &reply, READY_TIMEOUT_MS);
	if (!ret)
		ccr_info("context pool: %s", reply.done.text);
	return ret;
}

int ccr__memory_load_begin(void)
{
	int ret;

	ccr__pool_link.images_dir = criu_get_image_dir();
	if (!ccr__files_have_gpu_images())
		return 0;
	ret = ccr__begin(STAGE_RESTORE);
	if (!ret)
		ret = ccr__pool_connect();
	if (!ret)
		ret = ccr__memory_request_load();
	if (ret == -EPIPE && ccr__pool_link.is_daemon) {
		ret = ccr__pool_replace();
		if (!ret)
			ret = ccr__memory_request_load();
	}
	return ret;
}

int ccr__memory_request_attach(struct task *task)
{
	if (!task->operation)
		task->operation = next_operation();
	return ccr__pool_request(CCR_MSG_OP_ATTACH, task, CCR_OP_PIDFD | CCR_OP_CONNECTION);
}

static int attach(struct task *task)
{
	const int ret = ccr__memory_request_attach(task);

	return ret ? ret : wait_ready(task);
}

/* The pool died: a helper serves this task, and those that may still wait for their memory. */
static int attach_through_helper(struct task *task)
{
	struct task *t;
	int ret = ccr__pool_replace();

	if (!ret)
		ret = ccr__memory_request_load();
	for (t = ccr__plugin.tasks; !ret && t; t = t->next)
		if (t->is_awaited)
			ret = attach(t);
	return ret ? ret : attach(task);
}

/*
 * A process that has given its memory away waits behind its gate until it gets
 * it back. Without a file of ours in the directory, only this tells that one is
 * missing.
 */
static int check_without_image(const struct task *task)
{
	const pid_t tid = ccr__service_thread(task->pid);
	char name[32] = "";

	if (tid <= 0 || ccr__proc_status(tid, "Name", name, sizeof(name)) ||
	    strcmp(name + strspn(name, "\t "), CCR_SERVICE_COMM_GATED))
		return 0;
	ccr_err("%d: the device memory of the process is in no file: cuda-%d.img is missing; make "
		"the checkpoint again",
		task->pid, task->image_pid);
	return -ENODATA;
}

int ccr__memory_attach(struct task *task)
{
	int ret;

	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	if (!ccr__files_have_gpu(task->image_pid))
		return check_without_image(task);
	task->service_tid = ccr__service_thread(task->pid);
	if (task->service_tid <= 0) {
		ccr_err("cannot attach the GPU image of %d: the process has no interceptor thread",
			task->pid);
		return -ESRCH;
	}
	ret = attach(task);
	if (ret == -EPIPE)
		ret = attach_through_helper(task);
	if (ret)
		return ret;
	task->is_awaited = true;
	ret = ccr__watcher_track(task);
	if (!ret) /* readers of the status file then expect the pool's "attach" line */
		ccr_status_add(&ccr__plugin.status,
			       "{\"event\":\"attaching\",\"pid\":%d,\"operation\":%u}", task->pid,
			       task->operation);
	return ret;
}

bool ccr__memory_has_pool(void)
{
	return ccr__pool_link.socket >= 0;
}
