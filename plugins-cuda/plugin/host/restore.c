// SPDX-License-Identifier: GPL-2.0-only
/* Host memory comes back: at a restore, and at the undo of a dump. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/host/host.h"
#include "plugin/host/late/late.h"
#include "plugin/host/readahead.h"
#include "plugin/host/remap/remap.h"
#include "plugin/trace/proc_status.h"
#include "plugin/watch/watcher_link.h"

static int open_page_file(const struct ccr_pages *pages)
{
	const int fd = openat(criu_get_image_dir(), pages->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	const int ret = fd < 0 ? -errno : fd;

	if (fd < 0)
		ccr_err("%s: %s", pages->file, strerror(-ret));
	return ret;
}

static void report(pid_t pid, const struct remap_filled *filled, double start, double end)
{
	ccr_info("%d: %llu bytes of host memory in %.1f ms", pid, (unsigned long long)filled->bytes,
		 end - start);
	if (filled->late)
		ccr_info("%d: %llu bytes of it were late; the driver has waited for %llu pages",
			 pid, (unsigned long long)filled->late, (unsigned long long)filled->faults);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"remap\",\"pid\":%d,\"bytes\":%llu,\"copy_ms\":%.3f,"
		       "\"map_ms\":0,\"end\":%.3f,\"late\":%llu,\"faults\":%llu}",
		       pid, (unsigned long long)filled->bytes, end - start, end,
		       (unsigned long long)filled->late, (unsigned long long)filled->faults);
}

static int failed(pid_t pid, int ret)
{
	ccr_err("cannot return the host memory of %d: %s", pid, strerror(-ret));
	return ret;
}

/* Returns -ENOENT when the task has no manifest. */
static int open_manifest(struct ccr_pages **pages, pid_t pid)
{
	const pid_t image_pid = ccr__namespace_pid(pid);
	char error[512];
	int ret;

	if (image_pid < 0)
		return image_pid;
	if (!ccr__files_have_host(image_pid))
		return -ENOENT;
	ret = ccr_pages_open(pages, criu_get_image_dir(), image_pid, error, sizeof(error));
	if (ret && ret != -ENOENT)
		ccr_err("%s", error);
	return ret;
}

/* ---- a restore ---- */

struct host_restore {
	pid_t pid;
	int fd;
	struct ccr_pages *pages;
	struct remap_fill *fill;       /* NULL: not begun, or ended */
	struct remap_compare *compare; /* the same */
};

static uint64_t drivers_bytes(const struct ccr_pages *pages)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < pages->nr_mappings; i++)
		if (pages->mappings[i].is_drivers)
			bytes += pages->mappings[i].size;
	return bytes;
}

int ccr__host_memory_open(struct host_restore **out, pid_t pid, struct host_bytes *bytes)
{
	struct host_restore *host;
	struct ccr_pages *pages;
	int ret;

	*out = NULL;
	*bytes = (struct host_bytes){0};
	ret = open_manifest(&pages, pid);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	host = calloc(1, sizeof(*host));
	if (!host) {
		ccr_pages_close(pages);
		return -ENOMEM;
	}
	*host = (struct host_restore){.pid = pid, .fd = -1, .pages = pages};
	*bytes = (struct host_bytes){.stored = pages->stored, .drivers = drivers_bytes(pages)};
	*out = host;
	return 0;
}

int ccr__host_memory_fill(struct host_restore *host, bool driver_waits)
{
	struct work *late;
	int ret;

	host->fd = open_page_file(host->pages);
	ret = host->fd < 0 ? host->fd
			   : ccr__remap_fill_begin(&host->fill, host->pid, host->pages, host->fd,
						   driver_waits);
	if (ret)
		return failed(host->pid, ret);
	late = ccr__remap_fill_late_work(host->fill);
	ccr__work_add(ccr__remap_fill_work(host->fill));
	if (late)
		ccr__work_add(late);
	return 0;
}

bool ccr__host_memory_is_filled(struct host_restore *host)
{
	int unused;

	return ccr__work_is_done(ccr__remap_fill_work(host->fill), &unused);
}

int ccr__host_memory_filled(struct host_restore *host)
{
	int ret;

	ccr__work_is_done(ccr__remap_fill_work(host->fill), &ret);
	ret = ccr__remap_fill_first_end(host->fill, ret);
	if (ret)
		return failed(host->pid, ret);
	host->compare = ccr__remap_compare_new(host->pages, host->fd);
	if (!host->compare)
		return failed(host->pid, -ENOMEM);
	ccr__work_add(ccr__remap_compare_work(host->compare));
	return 0;
}

int ccr__host_memory_failure(const struct host_restore *host)
{
	return host->fill ? ccr__remap_fill_failure(host->fill) : 0;
}

bool ccr__host_memory_is_late(struct host_restore *host)
{
	return host->fill && ccr__remap_fill_late_work(host->fill);
}

static bool is_done(struct work *work, int *result)
{
	*result = 0;
	return !work || ccr__work_is_done(work, result);
}

bool ccr__host_memory_is_complete(struct host_restore *host)
{
	int unused;

	return is_done(ccr__remap_fill_late_work(host->fill), &unused) &&
	       is_done(ccr__remap_compare_work(host->compare), &unused);
}

static int end_fill(struct host_restore *host, int ret)
{
	const struct work *first = ccr__remap_fill_work(host->fill);
	struct work *late = ccr__remap_fill_late_work(host->fill);
	const struct work *last = late && late->end ? late : first;
	const double end = last->end ? last->end : ccr__now_ms();
	const double start = first->start ? first->start : late ? late->start : end;
	struct remap_filled filled;

	if (!ret)
		is_done(late, &ret);
	ret = ccr__remap_fill_end(host->fill, ret, &filled);
	if (!ret)
		report(host->pid, &filled, start, end);
	return ret;
}

static int end_compare(struct host_restore *host)
{
	int ret;

	ccr__work_is_done(ccr__remap_compare_work(host->compare), &ret);
	ccr__remap_compare_end(host->compare, ret);
	return ret;
}

int ccr__host_memory_close(struct host_restore *host, bool is_complete)
{
	int compared = 0, ret = 0;

	if (!host)
		return 0;
	if (host->compare)
		compared = end_compare(host);
	if (host->fill)
		ret = end_fill(host, is_complete && !compared ? 0 : -ECANCELED);
	if (host->fd >= 0)
		close(host->fd);
	ccr_pages_close(host->pages);
	free(host);
	return compared ? compared : ret;
}

void ccr__host_memory_forget(void)
{
	ccr__late_forget();
}

/* ---- the undo of a dump ---- */

int ccr__host_memory_undo(pid_t pid)
{
	struct remap_filled filled = {0};
	struct ccr_pages *pages;
	double start;
	int fd, ret;

	ret = open_manifest(&pages, pid);
	if (ret) {
		ccr_err("%d: its host memory is lost: no manifest", pid);
		return ret;
	}
	start = ccr__now_ms();
	fd = open_page_file(pages);
	ret = fd < 0 ? fd : ccr__remap_fill(pid, pages, fd, &filled.bytes);
	if (ret)
		failed(pid, ret);
	else
		report(pid, &filled, start, ccr__now_ms());
	if (fd >= 0)
		close(fd);
	ccr_pages_close(pages);
	return ret;
}

void ccr__host_memory_discard(const struct task *task)
{
	struct ccr_pages record = {.pid = task->image_pid}, *written;
	const int dirfd = criu_get_image_dir();
	char error[512];

	if (task->host_state == HOST_NONE)
		return;
	memcpy(record.id, task->host_id, sizeof(record.id));
	ccr_pages_name(&record);
	unlinkat(dirfd, record.file, 0);
	if (ccr_pages_open(&written, dirfd, record.pid, error, sizeof(error)))
		return;
	if (!memcmp(written->id, record.id, sizeof(record.id)))
		unlinkat(dirfd, record.name, 0);
	ccr_pages_close(written);
}

static void roll_back(struct task *task)
{
	if (!ccr__host_is_empty(task))
		return;
	if (ccr__host_memory_undo(task->pid)) {
		ccr_err("killing %d: it must not run without its memory", task->pid);
		kill(task->pid, SIGKILL);
		return;
	}
	task->host_state = HOST_FILLED;
	ccr__watcher_track(task);
}

void ccr__host_memory_roll_back(bool is_dumped)
{
	for (struct task *task = ccr__plugin.tasks; task; task = task->next) {
		roll_back(task);
		if (!is_dumped)
			ccr__host_memory_discard(task);
	}
}

/* ---- before a restore ---- */

static bool has_mapped_pieces(const struct ccr_pages *pages)
{
	for (size_t i = 0; i < pages->nr_mappings; i++)
		if (ccr_pages_find_emptied(pages, pages->mappings[i].address) == pages->nr_emptied)
			return true;
	return false;
}

/* CRIU opens a page file that a process maps at its old path. We cannot check a path in another
 * mount namespace. */
static int check_place(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size)
{
	struct stat here, there;
	char path[PATH_MAX + CCR_IMAGE_NAME_MAX];
	bool is_there;

	if (!pages->directory[0] || !has_mapped_pieces(pages))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", pages->directory, pages->file);
	is_there = !stat(path, &there);
	if (is_there && !fstatat(dirfd, pages->file, &here, 0) && ccr__same_file(&here, &there))
		return 0;
	snprintf(error, error_size, "%s: CRIU looks for it in %s, where the dump wrote it; %s",
		 pages->file, pages->directory,
		 is_there ? "restore from there, or replace that directory by a symbolic link to "
			    "this one"
			  : "make a symbolic link there");
	return -ENOENT;
}

static int check_pages(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size)
{
	int ret;

	/* CRIU refuses a restore in which a name of its inventory was not removed. */
	check_and_remove_inventory_plugin(pages->name, strlen(pages->name));
	ret = ccr_pages_check(pages, dirfd, error, error_size);
	return ret ? ret : check_place(pages, dirfd, error, error_size);
}

static int check_one(int dirfd, int pid, void *data)
{
	struct ccr_pages *pages;
	char error[PATH_MAX + 512];
	int ret;

	if (!ccr__files_have_host(pid))
		return 0;
	ret = ccr_pages_open(&pages, dirfd, pid, error, sizeof(error));
	if (!ret) {
		ret = check_pages(pages, dirfd, error, sizeof(error));
		ccr_pages_close(pages);
	}
	if (ret)
		ccr_err("%s", error);
	++*(size_t *)data;
	return ret;
}

int ccr__host_memory_load_begin(void)
{
	size_t found = 0;
	const int dirfd = criu_get_image_dir(), ret = ccr_pages_for_each(dirfd, check_one, &found);

	if (!ret && found)
		ccr__readahead_start(dirfd);
	return ret;
}
