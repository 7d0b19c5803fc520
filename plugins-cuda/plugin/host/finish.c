// SPDX-License-Identifier: GPL-2.0-only
/* The end of a save: the page file gets its manifest, then the memory is taken from the task. */
#include "plugin/host/save.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "plugin/host/host.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/task/task.h"
#include "plugin/watch/watcher_link.h"

int ccr__save_leave(pid_t pid, const char *why)
{
	ccr_warn("%d: host memory is left to CRIU: %s", pid, why);
	return 0;
}

int ccr__save_record(struct task *task, enum host_state state)
{
	task->host_state = state;
	return ccr__watcher_track(task);
}

static int empty(struct task *task, const struct ccr_pages *pages, const struct remap_plan *plan,
		 const struct pages_dir *dir, size_t *emptied)
{
	int fd, ret;

	ret = ccr__save_record(task, HOST_EMPTYING);
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
	uint64_t early, again;

	task->memory.page_bytes = pages->stored;
	ccr__remap_copy_count(save->copy, &early, &again);
	if (early)
		ccr_info("%d: %llu bytes of host memory were copied before the end of the "
			 "checkpoint, %llu once more",
			 task->pid, (unsigned long long)early, (unsigned long long)again);
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

void ccr__save_free(struct save *save)
{
	ccr__early_free(save->early);
	if (save->copy)
		ccr__remap_copy_end(save->copy);
	free(save->before.list);
	ccr_pages_close(save->pages);
	ccr__remap_free(&save->plan);
	free(save);
}

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
		return ccr__save_record(task, HOST_NONE);
	}
	if (!ret)
		ret = ccr__save_record(task, HOST_EMPTY);
	if (!ret) /* a restore must notice that it is missing */
		ret = ccr__files_require(save->pages->name);
	if (!ret)
		report(save, emptied, start);
	return ret;
}

int ccr__save_finish(struct save *save, int ret)
{
	char error[512];

	ret = ccr__page_file_finish(save->pages, &save->dir, save->fd, ret, error, sizeof(error));
	save->fd = -1;
	if (!ret)
		return take_away(save);
	if (ret == -ESRCH || ret == -ECANCELED)
		return ret;
	ccr__save_leave(save->task->pid, error);
	return ccr__save_record(save->task, HOST_NONE);
}

int ccr__save_abandon(struct save *save)
{
	char error[512];

	if (save->fd < 0)
		return 0;
	ccr__page_file_finish(save->pages, &save->dir, save->fd, -ECANCELED, error, sizeof(error));
	save->fd = -1;
	return ccr__save_record(save->task, HOST_NONE);
}
