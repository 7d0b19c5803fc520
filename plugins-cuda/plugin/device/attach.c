// SPDX-License-Identifier: GPL-2.0-only
/* A restore through the pool: it loads the images, and the tasks get their memory when they run. */
#include "plugin/device/device.h"

#include <errno.h>
#include <string.h>

#include "plugin/device/pool_link.h"
#include "plugin/device/through_pool.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/service_thread.h"

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
	/* Nothing has begun: a daemon that is ending or lacks a device, or a helper that was
	 * killed. */
	if (ret == -EPIPE || (ret == -ENODEV && ccr__pool_link.is_daemon)) {
		ret = ccr__pool_replace(ret == -ENODEV ? ccr__memory_failure(ret)
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

	return ret ? ret : ccr__memory_wait_ready(task);
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
	if (!ccr__memory_is_gated(ccr__service_thread(task->pid)))
		return 0;
	ccr_err("%d: the device memory of the process is in no file: cuda-%d.img is missing; make "
		"the checkpoint again",
		task->pid, task->image_pid);
	return -ENODATA;
}

/* How many tasks of the tree, which are all known by now, have an image for the pool. */
static uint32_t nr_with_image(void)
{
	uint32_t nr = 0;

	for (const struct task *t = ccr__plugin.tasks; t; t = t->next) {
		const pid_t image_pid = t->is_plain || t->result ? -1 : ccr__namespace_pid(t->pid);

		nr += image_pid > 0 && !ccr__files_have_driver(image_pid) &&
		      ccr__files_have_gpu(image_pid);
	}
	return nr;
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
	if (!ccr__pool_link.group)
		ccr__pool_link.group = nr_with_image();
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
		*reason = ccr__memory_failure(ret);
	return ret;
}
