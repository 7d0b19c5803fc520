// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large host memory outside CRIU's page images. CRIU dumps a private file
 * mapping as the file's name plus the pages that differ from it, which here are
 * none, and restores it with mmap. Many threads write the page file, which is
 * next to the images.
 */
#include "plugin/task/driver_call.h"
#include "plugin/host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/sync.h"
#include "image/pages/pages.h"
#include "plugin/task/service_thread.h"
#include "plugin/task/checkpoint_files.h"
#include "plugin/host/populate.h"
#include "plugin/host/remap/remap.h"
#include "plugin/task/state.h"

/* Where the page file is created, and how the task sees that directory. */
struct pages_dir {
	int dirfd;	     /* criu's; not ours to close */
	char path[PATH_MAX]; /* of the directory */
	bool is_foreign;     /* the task has a mount namespace of its own */
};

/* Mappings of the task that is being checkpointed. */
static struct {
	pid_t pid;
	struct remap_ranges ranges;
} before;

/* Tasks that this criu has remapped, completely or in part. */
static struct {
	struct remapped {
		pid_t pid;
		struct ccr_pages *pages;
	} * list;
	size_t nr;
} done;

static int leave(pid_t pid, const char *why, const char *what)
{
	ccr_warn("%d: host memory is left to CRIU: %s%s%s", pid, why, what ? ": " : "",
		 what ? what : "");
	return -ENOTSUP;
}

static bool has_own_mounts(pid_t pid)
{
	struct stat ours, theirs;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	return stat("/proc/self/ns/mnt", &ours) || stat(path, &theirs) ||
	       !ccr__same_file(&ours, &theirs);
}

static void path_in_task(char *out, size_t size, const struct pages_dir *dir, pid_t pid,
			 const char *name)
{
	if (dir->is_foreign)
		snprintf(out, size, "/proc/%d/root%s/%s", pid, dir->path, name);
	else
		snprintf(out, size, "%s/%s", dir->path, name);
}

/* CRIU opens the file by its path, which must lead to the same directory in the task. */
static int find_pages_dir(struct pages_dir *dir, pid_t pid)
{
	char link[48], path[PATH_MAX + 64];
	struct stat here, there;
	ssize_t length;

	dir->dirfd = criu_get_image_dir();
	dir->is_foreign = has_own_mounts(pid);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir->dirfd);
	length = readlink(link, dir->path, sizeof(dir->path));
	if (length < 0 || length == sizeof(dir->path))
		return leave(pid, "the images directory has no path", NULL);
	dir->path[length] = '\0';
	path_in_task(path, sizeof(path), dir, pid, ".");
	if (fstat(dir->dirfd, &here) || stat(path, &there) || !ccr__same_file(&here, &there))
		return leave(pid, "the process does not see the images directory", dir->path);
	return 0;
}

/* Creates and fills the page file, and describes it in `pages`. */
static int write_page_file(struct ccr_pages *pages, const struct remap_plan *plan,
			   const struct pages_dir *dir, pid_t pid)
{
	const int fd = openat(dir->dirfd, pages->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	struct stat st;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, plan->file_size))
		ret = -errno;
	if (!ret)
		ret = ccr__remap_copy(plan, pid, fd, pages->xxh3);
	/* Set the modification time now, or the writes through the mapping change it later. */
	if (!ret && (futimens(fd, NULL) || fstat(fd, &st)))
		ret = -errno;
	if (!ret && pages->sync && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret)
		pages->modified_ns = st.st_mtim.tv_sec * 1000000000ull + st.st_mtim.tv_nsec;
	return ret;
}

static int map_page_file(const struct ccr_pages *pages, const struct remap_plan *plan,
			 const struct pages_dir *dir, pid_t pid, size_t *mapped)
{
	char path[PATH_MAX + 64];
	int fd, ret;

	path_in_task(path, sizeof(path), dir, pid, pages->file);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		leave(pid, "cannot open the page file", path);
		return 0;
	}
	ret = ccr__remap_map(plan, pid, fd, mapped);
	close(fd);
	return ret;
}

/* Describes one mapping for each segment; `nr_mappings` is set when they are mapped. */
static struct ccr_pages *describe(const struct remap_plan *plan, const struct pages_dir *dir,
				  pid_t image_pid)
{
	struct ccr_pages *pages = calloc(1, sizeof(*pages));
	struct timespec now;

	if (!pages)
		return NULL;
	pages->pid = image_pid;
	pages->size = plan->file_size;
	pages->stored = plan->stored;
	pages->chunk_size = REMAP_CHUNK;
	pages->nr_chunks = (plan->file_size + REMAP_CHUNK - 1) / REMAP_CHUNK;
	pages->xxh3 = calloc(pages->nr_chunks, sizeof(*pages->xxh3));
	pages->mappings = calloc(plan->nr_segments, sizeof(*pages->mappings));
	snprintf(pages->directory, sizeof(pages->directory), "%s",
		 dir->is_foreign ? "" : dir->path);
	snprintf(pages->tool, sizeof(pages->tool), "%s", CCR_VERSION);
	clock_gettime(CLOCK_REALTIME, &now);
	memcpy(pages->checkpoint, ccr__files_id(), sizeof(pages->checkpoint));
	pages->sync = ccr_sync_wanted(ccr__plugin.settings.sync, dir->dirfd);
	pages->created_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	if (!pages->xxh3 || !pages->mappings ||
	    getrandom(pages->id, sizeof(pages->id), 0) != sizeof(pages->id)) {
		ccr_pages_close(pages);
		return NULL;
	}
	for (size_t i = 0; i < plan->nr_segments; i++) {
		const struct remap_segment *s = &plan->segments[i];

		pages->mappings[i] = (struct ccr_pages_mapping){s->address, s->size, s->offset,
								s->is_drivers, s->is_shared};
	}
	pages->nr_mappings = plan->nr_segments;
	ccr_pages_name(pages);
	return pages;
}

/* Writes the manifest, then removes the page file of an earlier dump to this directory. */
static int commit(const struct ccr_pages *pages, const struct pages_dir *dir)
{
	struct ccr_pages *earlier = NULL;
	char error[512];
	int ret;

	if (ccr_pages_open(&earlier, dir->dirfd, pages->pid, error, sizeof(error)))
		earlier = NULL;
	ret = ccr_pages_write(pages, dir->dirfd, error, sizeof(error));
	if (ret)
		ccr_err("%s", error);
	else if (earlier)
		unlinkat(dir->dirfd, earlier->file, 0);
	ccr_pages_close(earlier);
	return ret;
}

/* Takes ownership of `pages`. */
static int add_done(pid_t pid, struct ccr_pages *pages)
{
	struct remapped *more = realloc(done.list, (done.nr + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	done.list = more;
	done.list[done.nr++] = (struct remapped){pid, pages};
	return 0;
}

static int remap(pid_t pid, const struct remap_plan *plan, const struct pages_dir *dir)
{
	const double start = ccr__now_ms();
	const pid_t image_pid = ccr__namespace_pid(pid);
	struct ccr_pages *pages = image_pid < 0 ? NULL : describe(plan, dir, image_pid);
	double copied;
	size_t mapped = 0;
	int ret;

	if (!pages || add_done(pid, pages)) {
		ccr_pages_close(pages);
		return leave(pid, "out of memory", NULL);
	}
	ret = write_page_file(pages, plan, dir, pid);
	copied = ccr__now_ms();
	if (ret) {
		leave(pid, pages->file, strerror(-ret));
		ret = 0;
		goto out;
	}
	ret = map_page_file(pages, plan, dir, pid, &mapped);
	if (ret || !mapped)
		goto out;
	pages->nr_mappings = mapped;
	ret = commit(pages, dir);
	if (ret)
		goto out;
	ccr_info("%d: %llu bytes of host memory in %zu mappings to %s: copied in %.1f ms, mapped "
		 "in %.1f ms",
		 pid, (unsigned long long)plan->stored, mapped, pages->file, copied - start,
		 ccr__now_ms() - copied);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"remap\",\"pid\":%d,\"bytes\":%llu,\"mappings\":%zu,"
		       "\"copy_ms\":%.3f,\"map_ms\":%.3f}",
		       pid, (unsigned long long)plan->stored, mapped, copied - start,
		       ccr__now_ms() - copied);
	return 0;
out:
	/* What the task has already mapped of the file stays mapped until the rollback. */
	unlinkat(dir->dirfd, pages->file, 0);
	return ret;
}

int ccr__host_memory_save(pid_t pid)
{
	const struct ccr_settings *settings = &ccr__plugin.settings;
	struct remap_plan plan;
	struct pages_dir dir;
	int ret;

	if (!settings->remap || find_pages_dir(&dir, pid))
		return 0;
	ret = ccr__remap_choose(&plan, pid, (uint64_t)settings->remap_min_mb << 20,
				before.pid == pid ? &before.ranges : NULL);
	if (ret)
		leave(pid, "cannot read its mappings", strerror(-ret));
	else if (plan.nr_segments)
		ret = remap(pid, &plan, &dir);
	ccr__remap_free(&plan);
	return ret == -ENOTSUP || !ret ? 0 : ret;
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

void ccr__host_memory_roll_back(void)
{
	for (size_t i = 0; i < done.nr; i++) {
		if (ccr__remap_restore(done.list[i].pid, done.list[i].pages))
			ccr_warn("%d keeps running with memory that is mapped from a page file",
				 done.list[i].pid);
		ccr_pages_close(done.list[i].pages);
	}
	done.nr = 0;
}
