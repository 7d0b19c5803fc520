// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory through the pool: the interceptor's service thread in the task
 * hands its allocations to cuda-poold, which moves the bytes. This file only
 * says when, and rings the bell.
 */
#include "plugin/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/doorbell.h"
#include "plugin/pool_link.h"

/* For the pool to start: cuInit and a context on a cold GPU. */
#define READY_TIMEOUT_MS 60000
/* Copying has no limit of its own; an hour tells a hung device from a slow disk. */
#define COPY_TIMEOUT_MS 3600000

static int ring(const struct task *task, uint32_t operation)
{
	const int ret = ccr__doorbell_ring(task->pid, task->service_tid, operation);

	if (ret)
		ccr_err("%d: cannot signal its service thread %d: %s", task->pid, task->service_tid,
			strerror(-ret));
	return ret;
}

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

int ccr__memory_evict(struct task *task)
{
	struct ccr_message reply;
	pid_t image_pid;
	int ret;

	task->service_tid = ccr__service_thread(task->pid);
	if (task->service_tid < 0)
		return task->service_tid;
	if (!pool_wanted(task)) {
		task->service_tid = 0;
		return 0;
	}
	image_pid = ccr__namespace_pid(task->pid);
	if (image_pid < 0)
		return image_pid;
	ret = ccr__pool_request(CCR_MSG_OP_DUMP, 0, task->pid, image_pid);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_READY, &reply, READY_TIMEOUT_MS);
	if (ret)
		return ret;
	task->operation = reply.operation;
	ret = ccr__watcher_track(task);
	if (!ret)
		ret = ring(task, task->operation);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_RESULT, &reply, COPY_TIMEOUT_MS);
	if (ret) {
		task->service_tid = 0; /* it kept its memory */
		return ret;
	}
	ccr_info("%d: %llu bytes in %llu allocations saved in %.1f ms (waited %.1f ms)", task->pid,
		 (unsigned long long)reply.done.bytes, (unsigned long long)reply.done.nr_handles,
		 reply.done.copy_ms, reply.done.wait_ms);
	return 0;
}

int ccr__memory_roll_back(const struct task *task)
{
	int ret;

	if (!task->service_tid || !task->operation)
		return 0;
	ret = ccr__pool_request(CCR_MSG_OP_ROLL_BACK, task->operation, task->pid, 0);
	if (!ret)
		ret = ring(task, task->operation);
	if (!ret)
		ccr_status_add(&ccr__plugin.status, "{\"event\":\"attaching\",\"pid\":%d}",
			       task->pid);
	return ret;
}

void ccr__memory_commit(const struct task *task)
{
	if (task->operation)
		ccr__pool_request(CCR_MSG_OP_COMMIT, task->operation, task->pid, 0);
}

static bool has_gpu_image(pid_t image_pid)
{
	char name[32];
	struct stat st;

	snprintf(name, sizeof(name), "cuda-%d.img", image_pid);
	return !fstatat(criu_get_image_dir(), name, &st, 0);
}

int ccr__memory_load_begin(void)
{
	struct ccr_message reply;
	int ret;

	if (!ccr__gpu_images_in(criu_get_image_dir()))
		return 0;
	ret = ccr__begin(STAGE_RESTORE);
	if (!ret)
		ret = ccr__pool_request(CCR_MSG_OP_RESTORE, 0, 0, 0);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_RESULT, &reply, READY_TIMEOUT_MS);
	return ret;
}

int ccr__memory_attach(struct task *task)
{
	const pid_t image_pid = ccr__namespace_pid(task->pid);
	struct ccr_message reply;
	int ret;

	if (image_pid < 0)
		return image_pid;
	if (!has_gpu_image(image_pid))
		return 0;
	task->service_tid = ccr__service_thread(task->pid);
	if (task->service_tid <= 0) {
		ccr_err("%d has a GPU image, but no interceptor thread in it", task->pid);
		return -ESRCH;
	}
	ret = ccr__pool_request(CCR_MSG_OP_ATTACH, 0, task->pid, image_pid);
	if (!ret)
		ret = ccr__pool_reply(CCR_MSG_OP_READY, &reply, READY_TIMEOUT_MS);
	if (!ret)
		ret = ring(task, reply.operation);
	if (!ret) /* the reader of the file waits for the pool's «attach» line of this pid */
		ccr_status_add(&ccr__plugin.status, "{\"event\":\"attaching\",\"pid\":%d}",
			       task->pid);
	return ret;
}

int ccr__memory_fd(void)
{
	return ccr__pool_link_fd();
}

void ccr__memory_set_fd(int fd)
{
	ccr__pool_link_set(fd);
}
