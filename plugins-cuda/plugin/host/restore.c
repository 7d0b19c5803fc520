// SPDX-License-Identifier: GPL-2.0-only
/* Page files at a restore: checked before CRIU maps them, made anonymous memory afterwards. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/task/service_thread.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/host/host.h"
#include "plugin/host/readahead.h"
#include "plugin/host/remap/remap.h"

int ccr__remap_restore(pid_t pid, const struct ccr_pages *pages)
{
	const double start = ccr__now_ms();
	uint64_t bytes;
	const int ret = ccr__remap_undo(pid, pages, &bytes);

	if (ret) {
		ccr_err("cannot turn the page-file mappings of %d into anonymous memory: %s", pid,
			strerror(-ret));
		return ret;
	}
	ccr_info("%d: %llu bytes of host memory in %.1f ms", pid, (unsigned long long)bytes,
		 ccr__now_ms() - start);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"remap\",\"pid\":%d,\"bytes\":%llu,\"copy_ms\":%.3f,"
		       "\"map_ms\":0}",
		       pid, (unsigned long long)bytes, ccr__now_ms() - start);
	return 0;
}

int ccr__host_memory_restore(pid_t pid)
{
	const pid_t image_pid = ccr__namespace_pid(pid);
	struct ccr_pages *pages;
	char error[512];
	int ret;

	if (image_pid > 0 && !ccr__files_have_host(image_pid))
		return 0;
	ret = image_pid < 0 ? image_pid
			    : ccr_pages_open(&pages, criu_get_image_dir(), image_pid, error,
					     sizeof(error));
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	ret = ccr__remap_restore(pid, pages);
	ccr_pages_close(pages);
	return ret;
}

int ccr__host_memory_undo(pid_t pid)
{
	return ccr__host_memory_restore(pid);
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

/* CRIU opens the page file at its old path. We cannot check a path in another mount namespace. */
static int check_place(const struct ccr_pages *pages, int dirfd, char *error, size_t error_size)
{
	struct stat here, there;
	char path[PATH_MAX + CCR_IMAGE_NAME_MAX];

	snprintf(path, sizeof(path), "%s/%s", pages->directory, pages->file);
	if (!pages->directory[0] || (!fstatat(dirfd, pages->file, &here, 0) &&
				     !stat(path, &there) && ccr__same_file(&here, &there)))
		return 0;
	snprintf(error, error_size,
		 "%s: CRIU looks for it in %s, where the dump wrote it; make a symbolic link there",
		 pages->file, pages->directory);
	return -ENOENT;
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
		ret = ccr_pages_check(pages, dirfd, error, sizeof(error));
		if (!ret)
			ret = check_place(pages, dirfd, error, sizeof(error));
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
