// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page of shared memory may hold data although no process has it in its page
 * table, so we ask the file behind the memory for its holes. That file has no
 * name; to find out who else maps it, we read the mappings of every process.
 */
#include "plugin/host/remap/shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/remap/smaps.h"

static int add(struct shared_memory *shared, uint64_t inode)
{
	if (shared->nr == shared->room) {
		const size_t room = shared->room ? shared->room * 2 : 64;
		void *bigger = realloc(shared->inodes, room * sizeof(*shared->inodes));

		if (!bigger)
			return -ENOMEM;
		shared->inodes = bigger;
		shared->room = room;
	}
	shared->inodes[shared->nr++] = inode;
	return 0;
}

/* A process that ends meanwhile has no mappings. */
static int find_in_process(struct shared_memory *shared, const char *pid)
{
	char path[288], line[512];
	unsigned long inode;
	FILE *maps;
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	while (maps && !ret && fgets(line, sizeof(line), maps)) {
		int at = 0;

		if (sscanf(line, "%*s %*s %*s 00:01 %lu %n", &inode, &at) == 1 && at &&
		    !strncmp(line + at, CCR_SHARED_ANONYMOUS, strlen(CCR_SHARED_ANONYMOUS)))
			ret = add(shared, inode);
	}
	if (maps)
		fclose(maps);
	return ret;
}

static int compare(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

int ccr__shared_find_all(struct shared_memory *shared)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int ret = proc ? 0 : -errno;

	memset(shared, 0, sizeof(*shared));
	while (!ret && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			ret = find_in_process(shared, entry->d_name);
	if (proc)
		closedir(proc);
	if (shared->nr)
		qsort(shared->inodes, shared->nr, sizeof(*shared->inodes), compare);
	return ret;
}

static bool is_alone(const struct shared_memory *shared, uint64_t inode)
{
	const uint64_t *found =
		shared->nr ? bsearch(&inode, shared->inodes, shared->nr, sizeof(inode), compare)
			   : NULL;

	return found && (found == shared->inodes || found[-1] != inode) &&
	       (found + 1 == shared->inodes + shared->nr || found[1] != inode);
}

int ccr__shared_for_each(const struct shared_memory *shared, pid_t pid, const struct mapping *m,
			 int (*each)(uint64_t start, uint64_t end, void *data), void *data)
{
	const off_t size = m->end - m->start;
	struct stat st;
	char path[96];
	off_t from = 0, to = 0;
	int fd, ret = 0;

	if (!is_alone(shared, m->inode))
		return -ENOTSUP;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
		 (unsigned long long)m->start, (unsigned long long)m->end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (m->offset || st.st_size != size)
		ret = -ENOTSUP;
	while (!ret && (from = lseek(fd, to, SEEK_DATA)) >= 0) {
		to = lseek(fd, from, SEEK_HOLE);
		ret = to < 0 ? -errno : each(m->start + from, m->start + to, data);
	}
	if (!ret && errno != ENXIO)
		ret = -errno;
	close(fd);
	return ret;
}
