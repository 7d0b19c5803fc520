// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large host memory outside CRIU's page images. CRIU dumps a private mapping of
 * a file as the file's name and whatever differs from it, which here is
 * nothing, and restores it by mmap; the page file is written with many threads
 * and lies beside the images.
 */
#include "plugin/host_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "image/pages.h"
#include "plugin/doorbell.h"
#include "plugin/plugin.h"
#include "plugin/readahead.h"
#include "plugin/remap.h"

/* Where the page file is made, and seen by the task. */
struct store {
	int dirfd;	     /* criu's own, not to be closed */
	char path[PATH_MAX]; /* of the directory */
	bool is_foreign;     /* the task has a mount namespace of its own */
};

static int leave(pid_t pid, const char *why, const char *what)
{
	ccr_warn("%d: %s%s%s: its host memory is left to CRIU", pid, why, what ? " " : "",
		 what ? what : "");
	return -ENOTSUP;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool has_own_mounts(pid_t pid)
{
	struct stat ours, theirs;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	return stat("/proc/self/ns/mnt", &ours) || stat(path, &theirs) ||
	       !same_file(&ours, &theirs);
}

static void path_in_task(char *out, size_t size, const struct store *store, pid_t pid,
			 const char *name)
{
	if (store->is_foreign)
		snprintf(out, size, "/proc/%d/root%s/%s", pid, store->path, name);
	else
		snprintf(out, size, "%s/%s", store->path, name);
}

/* CRIU finds a file again by its path, which has to lead to the same directory in the task. */
static int find_store(struct store *store, pid_t pid)
{
	char link[48], path[PATH_MAX + 64];
	struct stat here, there;
	struct statvfs fs;
	ssize_t length;

	store->dirfd = criu_get_image_dir();
	store->is_foreign = has_own_mounts(pid);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", store->dirfd);
	length = readlink(link, store->path, sizeof(store->path));
	if (length < 0 || length == sizeof(store->path))
		return leave(pid, "the images directory has no path", NULL);
	store->path[length] = '\0';
	path_in_task(path, sizeof(path), store, pid, ".");
	if (fstat(store->dirfd, &here) || stat(path, &there) || !same_file(&here, &there))
		return leave(pid, "it does not see the images directory as", store->path);
	if (statvfs(path, &fs))
		return leave(pid, "no file system at", path);
	/* Such memory could never be made executable again, which a compiler in the task may want.
	 */
	if (fs.f_flag & ST_NOEXEC)
		return leave(pid, "mounted with noexec:", store->path);
	return 0;
}

static unsigned int nr_threads(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const long wanted = ccr__plugin.settings.streams;

	return cpus > 0 && cpus < wanted ? cpus : wanted;
}

/* Creates and fills the page file; `pages` then says what it is. */
static int write_page_file(struct ccr_pages *pages, const struct remap_plan *plan,
			   const struct store *store, pid_t pid)
{
	const int fd =
		openat(store->dirfd, pages->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	struct stat st;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, plan->file_size))
		ret = -errno;
	if (!ret)
		ret = ccr__remap_copy(plan, pid, fd, nr_threads(), pages->xxh3);
	/* Its time of change is the last write's from now on. */
	if (!ret && (futimens(fd, NULL) || fstat(fd, &st)))
		ret = -errno;
	close(fd);
	if (!ret)
		pages->modified_ns = st.st_mtim.tv_sec * 1000000000ull + st.st_mtim.tv_nsec;
	return ret;
}

static int map_page_file(const struct ccr_pages *pages, const struct remap_plan *plan,
			 const struct store *store, pid_t pid, size_t *mapped)
{
	char path[PATH_MAX + 64];
	int fd, ret;

	path_in_task(path, sizeof(path), store, pid, pages->file);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		leave(pid, "cannot open", path);
		return 0;
	}
	ret = ccr__remap_map(plan, pid, fd, mapped);
	close(fd);
	return ret;
}

static struct ccr_pages *describe(const struct remap_plan *plan, const struct store *store,
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
	snprintf(pages->directory, sizeof(pages->directory), "%s", store->path);
	snprintf(pages->tool, sizeof(pages->tool), "%s", CCR_VERSION);
	clock_gettime(CLOCK_REALTIME, &now);
	pages->created_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	if (!pages->xxh3 || !pages->mappings ||
	    getrandom(pages->id, sizeof(pages->id), 0) != sizeof(pages->id)) {
		ccr_pages_close(pages);
		return NULL;
	}
	ccr_pages_name(pages);
	return pages;
}

/* The page file of an earlier dump to this directory, which nothing names any more. */
static void remove_earlier(const struct ccr_pages *pages, int dirfd)
{
	struct ccr_pages *earlier;
	char error[512];

	if (ccr_pages_open(&earlier, dirfd, pages->pid, error, sizeof(error)))
		return;
	unlinkat(dirfd, earlier->file, 0);
	ccr_pages_close(earlier);
}

static int commit(struct ccr_pages *pages, const struct remap_plan *plan, const struct store *store,
		  size_t mapped)
{
	char error[512];
	int ret;

	for (size_t i = 0; i < mapped; i++)
		pages->mappings[i] = (struct ccr_pages_mapping){plan->segments[i].address,
								plan->segments[i].size,
								plan->segments[i].offset};
	pages->nr_mappings = mapped;
	remove_earlier(pages, store->dirfd);
	ret = ccr_pages_write(pages, store->dirfd, error, sizeof(error));
	if (ret)
		ccr_err("%s", error);
	return ret;
}

static int remap(pid_t pid, const struct remap_plan *plan, const struct store *store)
{
	const double start = ccr__now_ms();
	const pid_t image_pid = ccr__namespace_pid(pid);
	struct ccr_pages *pages = image_pid < 0 ? NULL : describe(plan, store, image_pid);
	double copied;
	size_t mapped = 0;
	int ret;

	if (!pages)
		return leave(pid, "out of memory", NULL);
	ret = write_page_file(pages, plan, store, pid);
	copied = ccr__now_ms();
	if (ret) {
		leave(pid, strerror(-ret), pages->file);
		ret = 0;
		goto out;
	}
	ret = map_page_file(pages, plan, store, pid, &mapped);
	if (!ret && mapped)
		ret = commit(pages, plan, store, mapped);
	if (ret)
		goto out_close;
	ccr_info("%d: %llu bytes of host memory in %zu mappings to %s: copied in %.1f ms, mapped "
		 "in %.1f ms",
		 pid, (unsigned long long)plan->stored, mapped, pages->file, copied - start,
		 ccr__now_ms() - copied);
	ccr_status_add(&ccr__plugin.status,
		       "{\"event\":\"remap\",\"pid\":%d,\"bytes\":%llu,\"mappings\":%zu,"
		       "\"copy_ms\":%.3f,\"map_ms\":%.3f}",
		       pid, (unsigned long long)plan->stored, mapped, copied - start,
		       ccr__now_ms() - copied);
out:
	if (!mapped)
		unlinkat(store->dirfd, pages->file, 0);
out_close:
	ccr_pages_close(pages);
	return ret;
}

int ccr__host_memory_save(pid_t pid)
{
	const struct ccr_settings *settings = &ccr__plugin.settings;
	struct remap_plan plan;
	struct store store;
	int ret;

	if (!settings->remap || find_store(&store, pid))
		return 0;
	ret = ccr__remap_choose(&plan, pid, (uint64_t)settings->remap_min_mb << 20);
	if (ret)
		leave(pid, "its mappings cannot be read:", strerror(-ret));
	else if (plan.nr_segments)
		ret = remap(pid, &plan, &store);
	ccr__remap_free(&plan);
	return ret == -ENOTSUP || !ret ? 0 : ret;
}

/* ---- restore ---- */

static int check_one(int dirfd, int pid, void *data)
{
	struct ccr_pages *pages;
	char error[PATH_MAX + 256];
	int ret;

	ret = ccr_pages_open(&pages, dirfd, pid, error, sizeof(error));
	if (!ret) {
		ret = ccr_pages_check(pages, dirfd, error, sizeof(error));
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
