// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/host/page_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/sync.h"
#include "plugin/task/checkpoint_files.h"

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

void ccr__pages_dir_find(struct pages_dir *dir, pid_t pid)
{
	char link[48], path[PATH_MAX + 64];
	struct stat here, there;
	ssize_t length;

	*dir = (struct pages_dir){.dirfd = criu_get_image_dir(), .is_foreign = has_own_mounts(pid)};
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir->dirfd);
	length = readlink(link, dir->path, sizeof(dir->path));
	if (length < 0 || length == sizeof(dir->path))
		return;
	dir->path[length] = '\0';
	path_in_task(path, sizeof(path), dir, pid, ".");
	dir->is_visible =
		!fstat(dir->dirfd, &here) && !stat(path, &there) && ccr__same_file(&here, &there);
}

/* ---- the description ---- */

static void describe_mappings(struct ccr_pages *pages, const struct remap_plan *plan)
{
	for (size_t i = 0; i < plan->nr_pieces; i++) {
		const struct remap_piece *p = &plan->pieces[i];

		pages->mappings[i] =
			(struct ccr_pages_mapping){p->address, p->size, p->offset,
						   p->mapping->is_drivers, p->mapping->is_shared};
	}
	pages->nr_mappings = plan->nr_pieces;
	for (size_t i = 0; i < plan->nr_mappings; i++) {
		const struct remap_mapping *m = &plan->mappings[i];

		if (!m->is_mapped)
			pages->emptied[pages->nr_emptied++] = (struct ccr_pages_emptied){
				m->address, m->size, m->prot, !m->keeps_access, m->may_be_late};
	}
}

struct ccr_pages *ccr__page_file_new(const struct pages_dir *dir, pid_t image_pid)
{
	struct ccr_pages *pages = calloc(1, sizeof(*pages));
	struct timespec now;

	if (!pages)
		return NULL;
	pages->pid = image_pid;
	pages->sync = ccr_sync_wanted(ccr__plugin.settings.sync, dir->dirfd);
	memcpy(pages->checkpoint, ccr__files_id(), sizeof(pages->checkpoint));
	snprintf(pages->directory, sizeof(pages->directory), "%s",
		 dir->is_foreign || !dir->is_visible ? "" : dir->path);
	snprintf(pages->tool, sizeof(pages->tool), "%s", CCR_VERSION);
	clock_gettime(CLOCK_REALTIME, &now);
	pages->created_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	if (getrandom(pages->id, sizeof(pages->id), 0) != sizeof(pages->id)) {
		ccr_pages_close(pages);
		return NULL;
	}
	ccr_pages_name(pages);
	return pages;
}

int ccr__page_file_describe(struct ccr_pages *pages, const struct remap_plan *plan)
{
	pages->size = plan->file_size;
	pages->stored = plan->stored;
	pages->chunk_size = REMAP_CHUNK;
	pages->nr_chunks = (plan->file_size + REMAP_CHUNK - 1) / REMAP_CHUNK;
	pages->xxh3 = calloc(pages->nr_chunks, sizeof(*pages->xxh3));
	pages->mappings = calloc(plan->nr_pieces, sizeof(*pages->mappings));
	pages->emptied = calloc(plan->nr_mappings, sizeof(*pages->emptied));
	if (!pages->xxh3 || !pages->mappings || !pages->emptied)
		return -ENOMEM;
	describe_mappings(pages, plan);
	return 0;
}

/* ---- the files ---- */

static int explain(const struct ccr_pages *pages, int ret, char *error, size_t error_size)
{
	snprintf(error, error_size, "%s: %s", pages->file, strerror(-ret));
	return ret;
}

int ccr__page_file_create(const struct ccr_pages *pages, const struct pages_dir *dir, char *error,
			  size_t error_size)
{
	const int fd = openat(dir->dirfd, pages->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);

	return fd < 0 ? explain(pages, -errno, error, error_size) : fd;
}

static int complete(struct ccr_pages *pages, int fd)
{
	struct stat st;

	/* Set the modification time now, or the writes through the mapping change it later. */
	if (futimens(fd, NULL) || (pages->sync && fsync(fd)) || fstat(fd, &st))
		return -errno;
	pages->modified_ns = st.st_mtim.tv_sec * 1000000000ull + st.st_mtim.tv_nsec;
	return 0;
}

static int write_manifest(struct ccr_pages *pages, const struct pages_dir *dir, char *error,
			  size_t error_size)
{
	struct ccr_pages *earlier = NULL;
	int ret;

	if (ccr_pages_open(&earlier, dir->dirfd, pages->pid, error, error_size))
		earlier = NULL;
	ret = ccr_pages_write(pages, dir->dirfd, error, error_size);
	if (!ret && earlier)
		unlinkat(dir->dirfd, earlier->file, 0);
	ccr_pages_close(earlier);
	return ret;
}

int ccr__page_file_finish(struct ccr_pages *pages, const struct pages_dir *dir, int fd, int ret,
			  char *error, size_t error_size)
{
	if (!ret)
		ret = complete(pages, fd);
	if (close(fd) && !ret) /* a server may report only now that it could not store all */
		ret = -errno;
	if (ret)
		explain(pages, ret, error, error_size);
	else
		ret = write_manifest(pages, dir, error, error_size);
	if (ret)
		unlinkat(dir->dirfd, pages->file, 0);
	return ret;
}

int ccr__page_file_open_in(const struct ccr_pages *pages, const struct pages_dir *dir, pid_t pid)
{
	char path[PATH_MAX + 64];
	int fd;

	if (!dir->is_visible)
		return -ENOENT;
	path_in_task(path, sizeof(path), dir, pid, pages->file);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}
