// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the page files into the page cache while CRIU works: pages of a mapped
 * file are read in small pieces when they are touched, which is slow on a disk.
 * A background process asks for large pieces instead. CRIU's own page images are
 * not read ahead: CRIU reads them sequentially, and a second reader only slows it
 * down. If this fails, a restore is slower but correct. A file system in memory
 * needs none of it.
 */
#include "plugin/host/readahead.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/task/state.h"
#include "plugin/watch/background.h"

#define PIECE	   (4u << 20)
#define MAX_FILES  4096
#define NR_THREADS 4

static struct {
	char path[PATH_MAX]; /* of the images directory */
	int fds[MAX_FILES];
	uint64_t ends[MAX_FILES]; /* number of pieces in this file and all before it */
	size_t nr_files;
	atomic_ullong next;
	int criu; /* socket that reports end of file when criu ends */
} work;

static bool criu_is_gone(void)
{
	struct pollfd poller = {.fd = work.criu, .events = POLLIN};

	return poll(&poller, 1, 0) > 0;
}

static void open_files(void)
{
	DIR *dir = opendir(work.path);
	struct dirent *entry;
	uint64_t pieces = 0;

	while (dir && work.nr_files < MAX_FILES && (entry = readdir(dir))) {
		struct stat st;
		int fd;

		if (strncmp(entry->d_name, CCR_PAGES_PREFIX, strlen(CCR_PAGES_PREFIX)))
			continue;
		/* A FIFO of this name would keep us until somebody writes to it. */
		fd = openat(dirfd(dir), entry->d_name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
			if (fd >= 0)
				close(fd);
			continue;
		}
		pieces += (st.st_size + PIECE - 1) / PIECE;
		work.fds[work.nr_files] = fd;
		work.ends[work.nr_files++] = pieces;
	}
	if (dir)
		closedir(dir);
}

static void *read_pieces(void *unused)
{
	uint64_t piece = atomic_fetch_add(&work.next, 1);

	for (size_t i = 0; i < work.nr_files;) {
		const uint64_t first = i ? work.ends[i - 1] : 0;

		if (piece >= work.ends[i]) {
			i++;
			continue;
		}
		if (criu_is_gone())
			break;
		posix_fadvise(work.fds[i], (piece - first) * PIECE, PIECE, POSIX_FADV_WILLNEED);
		piece = atomic_fetch_add(&work.next, 1);
	}
	return NULL;
}

static void readahead_main(int stage, int fd)
{
	pthread_t others[NR_THREADS - 1];
	int started = 0;

	work.criu = fd;
	open_files();
	while (started < NR_THREADS - 1 &&
	       !pthread_create(&others[started], NULL, read_pieces, NULL))
		started++;
	read_pieces(NULL);
	while (started)
		pthread_join(others[--started], NULL);
}

static bool is_in_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) || fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC ||
	       fs.f_type == HUGETLBFS_MAGIC;
}

void ccr__readahead_start(int dirfd)
{
	char link[48];
	ssize_t length;

	if (!ccr__plugin.settings.readahead || is_in_memory(dirfd))
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	length = readlink(link, work.path, sizeof(work.path) - 1);
	if (length < 0)
		return;
	work.path[length] = '\0';
	/* Our end stays open in criu, close-on-exec, until criu ends. */
	if (ccr__background_start("cuda-readahead", readahead_main, STAGE_RESTORE, NULL) >= 0)
		ccr_info("reading ahead in %s", work.path);
}
