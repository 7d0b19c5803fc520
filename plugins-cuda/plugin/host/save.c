// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large host memory outside CRIU's page images. Many threads write it to a page
 * file next to the images; then it is taken from the task, and CRIU finds
 * mappings without pages. What the driver has added for its checkpoint is
 * mapped from the page file where the task sees it: CRIU dumps the file's name,
 * the restored driver reads from it and removes the mapping.
 */
#include "plugin/host/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/host/page_file.h"
#include "plugin/host/populate.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/task/driver_call.h"
#include "plugin/task/proc_status.h"
#include "plugin/task/task.h"
#include "plugin/task/watcher_link.h"

/* Mappings of the task that is being checkpointed. */
static struct {
	pid_t pid;
	struct remap_ranges ranges;
} before;

/* Returns 0: the dump does not depend on us. */
static int leave(pid_t pid, const char *why)
{
	ccr_warn("%d: host memory is left to CRIU: %s", pid, why);
	return 0;
}

/* Memory that was taken away counts again when it is filled. */
static bool exceeds_limit(pid_t pid)
{
	struct rlimit limit;
	char value[64];

	if (prlimit(pid, RLIMIT_DATA, NULL, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    ccr__proc_status(pid, "VmData", value, sizeof(value)))
		return false;
	return strtoull(value, NULL, 10) * 1024 > limit.rlim_cur;
}

static int record(struct task *task, enum host_state state)
{
	task->host_state = state;
	return ccr__watcher_track(task);
}

/* The record of a process without CUDA is made here. */
static struct task *find_task(pid_t pid)
{
	struct task *task = ccr__task_find(pid);

	return task ? task : ccr__task_add_plain(pid);
}

static int empty(struct task *task, const struct ccr_pages *pages, const struct remap_plan *plan,
		 const struct pages_dir *dir, size_t *emptied)
{
	int fd, ret;

	ret = record(task, HOST_EMPTYING);
	if (ret)
		return ret;
	fd = ccr__page_file_open_in(pages, dir, task->pid);
	ret = ccr__remap_empty(plan, task->pid, fd < 0 ? -1 : fd, emptied);
	if (fd >= 0)
		close(fd);
	return ret;
}

static void report(struct task *task, const struct ccr_pages *pages, size_t emptied, double start,
		   double copied)
{
	const double now = ccr__now_ms();
	const pid_t pid = task->pid;

	task->memory.page_bytes = pages->stored;
	ccr_info("%d: %llu bytes of host memory in %zu mappings to %s: copied in %.1f ms, emptied "
		 "in %.1f ms",
		 pid, (unsigned long long)pages->stored, emptied, pages->file, copied - start,
		 now - copied);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"remap\",\"pid\":%d,\"bytes\":%llu,\"mappings\":%zu,"
		       "\"copy_ms\":%.3f,\"map_ms\":%.3f}",
		       pid, (unsigned long long)pages->stored, emptied, copied - start,
		       now - copied);
}

static int save(struct task *task, struct ccr_pages *pages, const struct remap_plan *plan,
		const struct pages_dir *dir)
{
	const double start = ccr__now_ms();
	size_t emptied = 0;
	char error[512];
	double copied;
	int ret;

	memcpy(task->host_id, pages->id, sizeof(task->host_id));
	task->image_pid = pages->pid;
	ret = record(task, HOST_SAVING);
	if (ret)
		return ret;
	ret = ccr__page_file_write(pages, plan, dir, task->pid, error, sizeof(error));
	if (ret == -ESRCH)
		return ret;
	if (ret) {
		leave(task->pid, error);
		return record(task, HOST_NONE);
	}
	copied = ccr__now_ms();
	ret = empty(task, pages, plan, dir, &emptied);
	if (ret == -ENOTSUP || (!ret && !emptied)) {
		ccr__host_memory_discard(task);
		return record(task, HOST_NONE);
	}
	if (!ret)
		ret = record(task, HOST_EMPTY);
	if (!ret)
		ret = ccr__files_require(
			pages->name); /* a restore must notice that it is missing */
	if (!ret)
		report(task, pages, emptied, start, copied);
	return ret;
}

static int save_plan(pid_t pid, const struct remap_plan *plan, const struct pages_dir *dir)
{
	const pid_t image_pid = ccr__namespace_pid(pid);
	struct ccr_pages *pages;
	struct task *task;
	int ret;

	if (image_pid < 0)
		return leave(pid, strerror(-image_pid));
	if (exceeds_limit(pid))
		return leave(pid, "it has more than its limit of data (RLIMIT_DATA)");
	pages = ccr__page_file_describe(plan, dir, image_pid);
	task = pages ? find_task(pid) : NULL;
	ret = task ? save(task, pages, plan, dir) : leave(pid, "out of memory");
	ccr_pages_close(pages);
	return ret;
}

int ccr__host_memory_save(pid_t pid)
{
	const struct ccr_settings *settings = &ccr__plugin.settings;
	struct remap_wishes wishes = {
		.min_bytes = (uint64_t)settings->remap_min_mb << 20,
		.before = before.pid == pid ? &before.ranges : NULL,
	};
	struct remap_plan plan;
	struct pages_dir dir;
	int ret;

	if (!settings->remap)
		return 0;
	ccr__pages_dir_find(&dir, pid);
	wishes.can_map = dir.is_visible;
	ret = ccr__remap_choose(&plan, pid, &wishes);
	if (ret)
		ret = leave(pid, strerror(-ret));
	else if (plan.nr_mappings)
		ret = save_plan(pid, &plan, &dir);
	ccr__remap_free(&plan);
	return ret;
}

void ccr__host_memory_before(pid_t pid)
{
	int ret;

	free(before.ranges.list);
	memset(&before, 0, sizeof(before));
	if (!ccr__plugin.settings.remap)
		return;
	ret = ccr__remap_ranges(&before.ranges, pid);
	if (ret) /* then all memory counts as the task's own, which only costs time */
		ccr_warn("cannot read the mappings of %d: %s; checkpoint and restore take longer",
			 pid, strerror(-ret));
	else
		before.pid = pid;
}

CUresult ccr__host_memory_checkpoint(const struct task *task)
{
	CUresult result = CUDA_ERROR_UNKNOWN;
	int ret = -ENOTSUP;

	if (before.pid == task->pid)
		ret = ccr__populate_checkpoint(task, &before.ranges, &result);
	if (ret == -ENOTSUP)
		return ccr__driver_call(ccr__driver_checkpoint, task->pid, NULL);
	return ret ? CUDA_ERROR_OPERATING_SYSTEM : result;
}
