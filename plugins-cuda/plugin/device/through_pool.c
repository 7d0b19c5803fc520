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
#include "plugin/task/proc_status.h"
#include "plugin/task/service_thread.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/device/through_pool.h"
#include "plugin/device/fd_backup.h"
#include "plugin/device/missing.h"
#include "plugin/device/pool_link.h"
#include "plugin/task/watcher_link.h"

/* Variant `full` leaves to the driver what the pool cannot take; `parallel` fails the dump. */
#ifdef CCR_POOL_DAEMON
#define FALLS_BACK true
#else
#define FALLS_BACK false
#endif

/* The pool may have to start first: cuInit and a context on a cold GPU. */
static int wait_ready(const struct task *task)
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

/* ---- dump ---- */

/* An interceptor that this version does not understand: connecting to it would fail. */
static bool is_foreign(const struct task *task)
{
	struct ccr_mailbox mailbox;

	return ccr_mailbox_read(task->pid, &mailbox, NULL) ||
	       !ccr_protocol_is_supported(mailbox.protocol);
}

/* It has given its memory away, and waits behind its gate until it gets it back. */
static bool is_gated(pid_t service_tid)
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
	if (is_gated(task->service_tid)) {
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

static const char *failure(int ret)
{
	return *ccr__pool_link.error ? ccr__pool_link.error : strerror(-ret);
}

int ccr__memory_evict(struct task *task)
{
	struct pool_link *const link = &ccr__pool_link;
	bool is_kept, was_gated;
	int ret;

	if (!task->service_tid)
		return 0;
	was_gated = is_gated(task->service_tid);
	task->image_pid = ccr__namespace_pid(task->pid);
	if (task->image_pid < 0)
		return task->image_pid;
	*link->error = '\0';
	ret = hand_over(task, &is_kept);
	/* It may lack a device, or the rights, that a helper has. */
	if (is_kept && ret != -ETIMEDOUT && link->is_daemon && !is_in_use(task) &&
	    !ccr__pool_replace(failure(ret)))
		ret = hand_over(task, &is_kept);
	if (!is_kept)
		return ret;
	task->operation = 0;
	/* After a timeout, the driver would wait for the same work. */
	if (!FALLS_BACK || was_gated || ret == -ETIMEDOUT)
		return ret;
	task->memory.reason = "the pool could not take it";
	ccr__pool_note_fallback(task->pid, "driver", failure(ret));
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
		ret = ccr__pool_reply(CCR_MSG_OP_RESULT, 0, &reply,
				      ccr__plugin.settings.step_timeout_ms);
	if (!ret)
		ccr_info("context pool: %s", reply.done.text);
	return ret;
}

int ccr__memory_load_begin(void)
{
	int ret;

	ccr__pool_link.images_dir = criu_get_image_dir();
	if (!ccr__files_nr_gpu_images() && !ccr__files_nr_driver_images())
		return 0;
	if (ccr__files_nr_driver_images() && !ccr_driver_has_storage(&ccr__plugin.driver)) {
		ccr_err("the driver of the dump handed device memory over, which takes driver 615 "
			"(API %d) or newer; this driver has API %d",
			CCR_DRIVER_STORAGE_VERSION, ccr__plugin.driver.version);
		return -ENOTSUP;
	}
	ret = ccr__begin(STAGE_RESTORE);
	if (!ret)
		ret = ccr__pool_connect();
	if (!ret)
		ret = ccr__memory_request_load();
	if (((ret == -EPIPE || ret == -ENODEV) && ccr__pool_link.is_daemon) ||
	    (ret == -EPIPE && ccr__pool_link.is_early)) {
		ret = ccr__pool_replace(ret == -ENODEV ? failure(ret)
						       : "it has ended, or is of another version");
		if (!ret)
			ret = ccr__memory_request_load();
	}
	return ret;
}

int ccr__memory_request_attach(struct task *task)
{
	if (!task->operation)
		task->operation = ccr__memory_next_operation();
	return ccr__pool_request(CCR_MSG_OP_ATTACH, task, CCR_OP_PIDFD | CCR_OP_CONNECTION);
}

static int attach(struct task *task)
{
	const int ret = ccr__memory_request_attach(task);

	return ret ? ret : wait_ready(task);
}

int ccr__memory_replace_pool(const char *why)
{
	struct task *t;
	int ret = ccr__pool_replace(why);

	if (ret || ccr__plugin.stage != STAGE_RESTORE)
		return ret;
	ret = ccr__memory_request_load();
	for (t = ccr__plugin.tasks; !ret && t; t = t->next)
		if (t->is_awaited)
			ret = attach(t);
	return ret;
}

static int attach_through_helper(struct task *task)
{
	const int ret = ccr__memory_replace_pool("it has ended");

	return ret ? ret : attach(task);
}

/* Without a file of ours in the directory, only this tells that one is missing. */
static int check_without_image(const struct task *task)
{
	if (!is_gated(ccr__service_thread(task->pid)))
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
	if (ccr__files_have_driver(task->image_pid))
		return 0;
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

static int wait_loaded(const struct task *task)
{
	struct ccr_message reply;
	const int ret = ccr__pool_request(CCR_MSG_OP_LOADED, task, 0);

	return ret ? ret
		   : ccr__pool_reply(CCR_MSG_OP_RESULT, task->operation, &reply,
				     ccr__plugin.settings.copy_timeout_ms);
}

int ccr__memory_loaded(const struct task **failed, const char **reason)
{
	size_t nr_attached = 0;
	bool is_replaced = false;
	int ret = 0;

	for (const struct task *t = ccr__plugin.tasks; t; t = t->next)
		nr_attached += t->is_awaited;
	if (!ccr__plugin.settings.wait || nr_attached < ccr__files_nr_gpu_images())
		return 0;
	*ccr__pool_link.error = '\0';
	for (struct task *t = ccr__plugin.tasks; !ret && t; t = t->next) {
		*failed = t;
		if (t->is_awaited)
			ret = wait_loaded(t);
		if (ret != -EPIPE || is_replaced)
			continue;
		is_replaced = true;
		ret = ccr__memory_replace_pool("it has ended");
		if (!ret)
			ret = wait_loaded(t);
	}
	if (ret == -EPIPE)
		*reason = "there is no pool to load it";
	else if (ret == -ETIMEDOUT)
		*reason = "the pool does not return its device memory within "
			  "CRIU_CUDA_COPY_TIMEOUT_MS";
	else
		*reason = failure(ret);
	return ret;
}

bool ccr__memory_has_pool(void)
{
	return ccr__pool_link.socket >= 0;
}
