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
#include <linux/kcmp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/protocol/mailbox.h"
#include "image/pages/pages.h"
#include "plugin/host/page_file.h"
#include "plugin/host/populate.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/task/driver_call.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/task.h"
#include "plugin/watch/watcher_link.h"

#define POLL_MS 5 /* where there are no threads, nothing tells when to work */

/* Mappings of the task that is being checkpointed. */
static struct {
	pid_t pid;
	struct remap_ranges ranges;
} before;

/* Memory of a task on its way to a page file. */
struct save {
	struct save *next;
	struct task *task;
	struct pages_dir dir;
	struct remap_plan plan;
	struct ccr_pages *pages;
	struct remap_copy *copy;
	int fd; /* of the page file */
};

static struct {
	struct save *list; /* those that threads copy */
	int result;	   /* 0, or the first -errno */
} saves;

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

/* As clone(CLONE_VM) without CLONE_THREAD makes it. The driver may be using the other one. */
static bool has_memory_of_parent(pid_t pid)
{
	char parent[16];

	return !ccr__proc_status(pid, "PPid", parent, sizeof(parent)) &&
	       !syscall(SYS_kcmp, pid, (pid_t)strtol(parent, NULL, 10), KCMP_VM, 0, 0);
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

static void report(const struct save *save, size_t emptied, double start)
{
	const struct work *work = ccr__remap_copy_work(save->copy);
	const double copy_ms = work->end - work->start, empty_ms = ccr__now_ms() - start;
	const struct ccr_pages *pages = save->pages;
	struct task *task = save->task;

	task->memory.page_bytes = pages->stored;
	ccr_info("%d: %llu bytes of host memory in %zu mappings to %s: copied in %.1f ms, emptied "
		 "in %.1f ms",
		 task->pid, (unsigned long long)pages->stored, emptied, pages->file, copy_ms,
		 empty_ms);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"remap\",\"pid\":%d,\"bytes\":%llu,\"mappings\":%zu,"
		       "\"copy_ms\":%.3f,\"copied\":%.3f,\"map_ms\":%.3f}",
		       task->pid, (unsigned long long)pages->stored, emptied, copy_ms, work->end,
		       empty_ms);
}

static void free_save(struct save *save)
{
	if (save->copy)
		ccr__remap_copy_end(save->copy);
	ccr_pages_close(save->pages);
	ccr__remap_free(&save->plan);
	free(save);
}

/* ---- the end of a copy ---- */

/* The bytes are in the page file. */
static int take_away(const struct save *save)
{
	const double start = ccr__now_ms();
	struct task *task = save->task;
	size_t emptied = 0;
	int ret;

	ret = empty(task, save->pages, &save->plan, &save->dir, &emptied);
	if (ret == -ENOTSUP || (!ret && !emptied)) {
		ccr__host_memory_discard(task);
		return record(task, HOST_NONE);
	}
	if (!ret)
		ret = record(task, HOST_EMPTY);
	if (!ret) /* a restore must notice that it is missing */
		ret = ccr__files_require(save->pages->name);
	if (!ret)
		report(save, emptied, start);
	return ret;
}

static int finish(const struct save *save, int ret)
{
	char error[512];

	ret = ccr__page_file_finish(save->pages, &save->dir, save->fd, ret, error, sizeof(error));
	if (!ret)
		return take_away(save);
	if (ret == -ESRCH || ret == -ECANCELED)
		return ret;
	leave(save->task->pid, error);
	return record(save->task, HOST_NONE);
}

/* After a failure the dump is undone, so that the memory of the others stays where it is. */
void ccr__host_memory_advance(void)
{
	struct save **link = &saves.list;

	while (*link) {
		struct save *save = *link;
		int ret;

		if (!ccr__work_is_done(ccr__remap_copy_work(save->copy), &ret)) {
			link = &save->next;
			continue;
		}
		*link = save->next;
		ret = finish(save, saves.result ? -ECANCELED : ret);
		if (!saves.result)
			saves.result = ret;
		free_save(save);
	}
}

int ccr__host_memory_save_end(int failed)
{
	int ret;

	if (!saves.result)
		saves.result = failed;
	while (saves.list) {
		struct pollfd poller = {.fd = ccr__work_fd(), .events = POLLIN};

		ccr__work_clear_fd();
		ccr__host_memory_advance();
		if (saves.list)
			poll(&poller, 1, POLL_MS);
	}
	ret = saves.result;
	saves.result = 0;
	return ret;
}

/* ---- its beginning ---- */

static int copy(struct save *save)
{
	struct ccr_pages *pages = save->pages;
	struct task *task = save->task;
	char error[512];
	int ret;

	memcpy(task->host_id, pages->id, sizeof(task->host_id));
	task->image_pid = pages->pid;
	ret = record(task, HOST_SAVING);
	if (ret)
		return ret;
	save->fd = ccr__page_file_create(pages, &save->dir, error, sizeof(error));
	if (save->fd < 0) {
		leave(task->pid, error);
		return record(task, HOST_NONE);
	}
	ret = ccr__remap_copy_begin(&save->copy, &save->plan, task->pid, save->fd, pages->xxh3);
	if (ret)
		return finish(save, ret);
	save->next = saves.list;
	saves.list = save;
	ccr__work_add(ccr__remap_copy_work(save->copy));
	return 0;
}

static int begin_copy(struct save *save, pid_t pid)
{
	const pid_t image_pid = ccr__namespace_pid(pid);

	if (image_pid < 0)
		return leave(pid, strerror(-image_pid));
	if (has_memory_of_parent(pid))
		return leave(pid, "its parent has the same memory");
	if (exceeds_limit(pid))
		return leave(pid, "it has more than its limit of data (RLIMIT_DATA)");
	save->pages = ccr__page_file_describe(&save->plan, &save->dir, image_pid);
	save->task = save->pages ? find_task(pid) : NULL;
	return save->task ? copy(save) : leave(pid, "out of memory");
}

/* Whether it is known that the driver pins no memory of the program: its own pinned memory is
 * shared memory. */
static bool is_unpinned(pid_t pid)
{
	struct ccr_mailbox mailbox;

	return !ccr_mailbox_read(pid, &mailbox, NULL) &&
	       mailbox.size >= offsetof(struct ccr_mailbox, registrations) +
				       sizeof(mailbox.registrations) &&
	       !mailbox.registrations;
}

static int choose(struct save *save, pid_t pid)
{
	const double start = ccr__now_ms();
	struct remap_wishes wishes = {
		.min_bytes = (uint64_t)ccr__plugin.settings.remap_min_mb << 20,
		.before = before.pid == pid ? &before.ranges : NULL,
		.is_unpinned = is_unpinned(pid),
	};
	int ret;

	ccr__pages_dir_find(&save->dir, pid);
	wishes.can_map = save->dir.is_visible;
	ret = ccr__remap_choose(&save->plan, pid, &wishes);
	ccr_status_span(&ccr__plugin.status, pid, "host memory", "choose", start, ccr__now_ms());
	return ret;
}

int ccr__host_memory_save(pid_t pid)
{
	struct save *save;
	int ret;

	if (!ccr__plugin.settings.remap)
		return 0;
	save = calloc(1, sizeof(*save));
	ret = save ? choose(save, pid) : -ENOMEM;
	if (ret)
		ret = leave(pid, strerror(-ret));
	else if (save->plan.nr_mappings)
		ret = begin_copy(save, pid);
	if (save && saves.list != save)
		free_save(save);
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
