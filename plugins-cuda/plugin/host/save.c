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
#include "plugin/host/populate.h"
#include "plugin/host/save.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/task.h"

/* Page files that are filled, of tasks whose memory is still there. */
#define MAX_AT_ONCE 4
#define POLL_MS	    5 /* where there are no threads, nothing tells when to work */

static struct {
	struct save *begun; /* those whose checkpoint is not over */
	struct save *list;  /* those that threads copy */
	int result;	    /* 0, or the first -errno */
} saves;

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

/* Why the host memory of a process is left to CRIU, or NULL. */
static const char *why_left(pid_t pid)
{
	if (has_memory_of_parent(pid))
		return "its parent has the same memory";
	if (exceeds_limit(pid))
		return "it has more than its limit of data (RLIMIT_DATA)";
	return NULL;
}

/* The record of a process without CUDA is made here. */
static struct task *find_task(pid_t pid)
{
	struct task *task = ccr__task_find(pid);

	return task ? task : ccr__task_add_plain(pid);
}

bool ccr__host_memory_is_busy(void)
{
	size_t nr = 0;

	for (const struct save *save = saves.list; save; save = save->next)
		nr++;
	return nr >= MAX_AT_ONCE;
}

int ccr__host_memory_save_failure(void)
{
	return saves.result;
}

static bool has_room_for_early(void)
{
	size_t nr = 0;

	for (const struct save *save = saves.begun; save; save = save->next)
		nr += !!save->early;
	for (const struct save *save = saves.list; save; save = save->next)
		nr++;
	return nr < MAX_AT_ONCE;
}

/* After a failure the dump is undone, so that the memory of the others stays where it is. */
bool ccr__host_memory_advance(void)
{
	const bool has_populated = ccr__populate_some();
	struct save **link = &saves.list;

	for (struct save *save = saves.begun; save; save = save->next)
		if (save->early)
			ccr__early_advance(save->early, save->fd);
	while (*link) {
		struct save *save = *link;
		int ret;

		if (!ccr__work_is_done(ccr__remap_copy_work(save->copy), &ret)) {
			link = &save->next;
			continue;
		}
		*link = save->next;
		ret = ccr__save_finish(save, saves.result ? -ECANCELED : ret);
		if (!saves.result)
			saves.result = ret;
		ccr__save_free(save);
	}
	return has_populated;
}

int ccr__host_memory_save_end(int failed)
{
	int ret;

	if (!saves.result)
		saves.result = failed;
	while (saves.begun) {
		struct save *save = saves.begun;

		saves.begun = save->next;
		ccr__save_abandon(save); /* the checkpoint has failed, so the dump is undone */
		ccr__save_free(save);
	}
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

static struct save *new_save(pid_t pid)
{
	struct save *save = calloc(1, sizeof(*save));

	if (!save)
		return NULL;
	save->pid = pid;
	save->fd = -1;
	ccr__pages_dir_find(&save->dir, pid);
	return save;
}

/* The page file of the task is named in its record before it exists. Returns 0, without a file when
 * it cannot be created, or -errno. */
static int create_file(struct save *save, char *error, size_t error_size)
{
	const pid_t image_pid = ccr__namespace_pid(save->pid);
	struct ccr_pages *pages;
	int ret;

	snprintf(error, error_size, "%s", strerror(image_pid < 0 ? -image_pid : ENOMEM));
	if (image_pid < 0)
		return 0;
	save->pages = pages = ccr__page_file_new(&save->dir, image_pid);
	save->task = pages ? find_task(save->pid) : NULL;
	if (!save->task)
		return 0;
	memcpy(save->task->host_id, pages->id, sizeof(save->task->host_id));
	save->task->image_pid = pages->pid;
	ret = ccr__save_record(save->task, HOST_SAVING);
	if (ret)
		return ret;
	save->fd = ccr__page_file_create(pages, &save->dir, error, error_size);
	if (save->fd >= 0)
		return 0;
	ccr_pages_close(pages);
	save->pages = NULL;
	return ccr__save_record(save->task, HOST_NONE);
}

static int copy(struct save *save)
{
	struct ccr_pages *pages = save->pages;
	int ret = ftruncate(save->fd, pages->size) ? -errno : 0;

	save->copy = save->early ? ccr__early_end(save->early) : NULL;
	if (!ret && save->copy)
		ret = ccr__remap_copy_again(save->copy, &save->plan, save->fd, pages->xxh3);
	else if (!ret)
		ret = ccr__remap_copy_begin(&save->copy, &save->plan, save->pid, save->fd,
					    pages->xxh3);
	if (ret)
		return ccr__save_finish(save, ret);
	save->next = saves.list;
	saves.list = save;
	ccr__work_add(ccr__remap_copy_work(save->copy));
	return 0;
}

static int begin_copy(struct save *save)
{
	const char *const why = why_left(save->pid);
	char error[512];
	int ret = 0;

	if (why)
		return ccr__save_leave(save->pid, why);
	if (save->fd < 0)
		ret = create_file(save, error, sizeof(error));
	if (ret)
		return ret;
	if (save->fd < 0)
		return ccr__save_leave(save->pid, error);
	if (ccr__page_file_describe(save->pages, &save->plan))
		return ccr__save_leave(save->pid, "out of memory");
	return copy(save);
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

static int choose(struct save *save)
{
	const double start = ccr__now_ms();
	const struct remap_wishes wishes = {
		.min_bytes = (uint64_t)ccr__plugin.settings.remap_min_mb << 20,
		.before = save->has_before ? &save->before : NULL,
		.can_map = save->dir.is_visible,
		.early = save->early ? ccr__early_plan(save->early) : NULL,
		/* Without it, the driver's memory counts as the program's. */
		.is_unpinned = save->has_before && is_unpinned(save->pid),
	};
	const int ret = ccr__remap_choose(&save->plan, save->pid, &wishes);

	ccr_status_span(&ccr__plugin.status, save->pid, "host memory", "choose", start,
			ccr__now_ms());
	return ret;
}

static struct save **find_begun(pid_t pid)
{
	struct save **link = &saves.begun;

	while (*link && (*link)->pid != pid)
		link = &(*link)->next;
	return link;
}

static struct save *take_begun(pid_t pid)
{
	struct save **link = find_begun(pid), *save = *link;

	if (!save)
		return new_save(pid);
	*link = save->next;
	return save;
}

int ccr__host_memory_save(pid_t pid)
{
	struct save *save = ccr__plugin.settings.remap ? take_begun(pid) : NULL;
	int ret, abandoned;

	if (!save)
		return ccr__plugin.settings.remap ? ccr__save_leave(pid, strerror(ENOMEM)) : 0;
	ret = choose(save);
	if (ret)
		ret = ccr__save_leave(pid, strerror(-ret));
	else if (save->plan.nr_mappings)
		ret = begin_copy(save);
	if (saves.list == save)
		return ret;
	abandoned = ccr__save_abandon(save);
	ccr__save_free(save);
	return ret ? ret : abandoned;
}

static int begin_early(struct save *save)
{
	char error[512];
	int ret;

	if (why_left(save->pid) || !has_room_for_early())
		return 0;
	save->early = ccr__early_begin(save->pid, &save->before,
				       (uint64_t)ccr__plugin.settings.remap_min_mb << 20);
	if (!save->early)
		return 0;
	ret = create_file(save, error, sizeof(error));
	if (ret || save->fd >= 0)
		return ret;
	ccr__early_free(save->early);
	save->early = NULL;
	return 0;
}

int ccr__host_memory_before(pid_t pid)
{
	struct save *save;
	int ret;

	if (!ccr__plugin.settings.remap || *find_begun(pid))
		return 0;
	save = new_save(pid);
	if (!save) /* then all memory counts as the task's own, which only costs time */
		return 0;
	save->next = saves.begun;
	saves.begun = save;
	ret = ccr__remap_ranges(&save->before, pid);
	save->has_before = !ret;
	if (save->has_before)
		return begin_early(save);
	ccr_warn("cannot read the mappings of %d: %s; checkpoint and restore take longer", pid,
		 strerror(-ret));
	return 0;
}

void ccr__host_memory_expect(pid_t pid, const struct remap_range *range)
{
	struct save *save = *find_begun(pid);

	if (save && save->early)
		ccr__early_expect(save->early, range);
}

void ccr__host_memory_populate(const struct task *task)
{
	const struct save *save = *find_begun(task->pid);

	if (save && save->has_before)
		ccr__populate_begin(task, &save->before);
}

int ccr__host_memory_populate_end(pid_t pid)
{
	return ccr__populate_end(pid);
}
