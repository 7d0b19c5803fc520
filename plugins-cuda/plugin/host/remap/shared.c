// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page of shared memory may hold data although no process has it in its page
 * table, so we ask the file behind the memory for its holes. That file has no
 * name; to find out who else maps it, we read the mappings of every process,
 * once in each run of criu: while its tree is frozen, only a process that has
 * such memory already could map it once more, and that we see.
 */
#include "plugin/host/remap/shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/host/remap/smaps.h"

bool ccr__is_shared_anonymous(const char *path)
{
	return !strcmp(path, "/dev/zero (deleted)") || !strcmp(path, "/memfd:/dev/zero (deleted)");
}

struct file {
	uint64_t inode;
	uint32_t device[2];
};

/* Every such mapping of all processes, sorted by file. */
static struct shared_memory {
	struct file *files;
	size_t nr, room;
	bool is_complete;
} all;

static int add(struct shared_memory *shared, const struct file *file)
{
	if (shared->nr == shared->room) {
		const size_t room = shared->room ? shared->room * 2 : 64;
		void *bigger = realloc(shared->files, room * sizeof(*shared->files));

		if (!bigger)
			return -ENOMEM;
		shared->files = bigger;
		shared->room = room;
	}
	shared->files[shared->nr++] = *file;
	return 0;
}

/* A process that ends meanwhile has no mappings. */
static int find_in_process(struct shared_memory *shared, const char *pid)
{
	char path[288], line[512];
	struct file file;
	FILE *maps;
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	while (maps && !ret && fgets(line, sizeof(line), maps)) {
		int at = 0;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64 " %n", &file.device[0],
			   &file.device[1], &file.inode, &at) == 3 &&
		    at && ccr__is_shared_anonymous(line + at))
			ret = add(shared, &file);
	}
	if (maps)
		fclose(maps);
	return ret;
}

static int compare(const void *a, const void *b)
{
	const struct file *left = a, *right = b;

	if (left->inode != right->inode)
		return left->inode < right->inode ? -1 : 1;
	return memcmp(left->device, right->device, sizeof(left->device));
}

static int find_all(struct shared_memory *shared)
{
	struct dirent *entry;
	DIR *proc;
	int ret;

	if (shared->is_complete)
		return 0;
	proc = opendir("/proc");
	ret = proc ? 0 : -errno;
	shared->nr = 0;
	while (!ret && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			ret = find_in_process(shared, entry->d_name);
	if (proc)
		closedir(proc);
	if (shared->nr)
		qsort(shared->files, shared->nr, sizeof(*shared->files), compare);
	shared->is_complete = !ret;
	return ret;
}

static bool is_alone(const struct shared_memory *shared, const struct mapping *m)
{
	const struct file file = {m->inode, {m->device[0], m->device[1]}};
	const struct file *found =
		shared->nr ? bsearch(&file, shared->files, shared->nr, sizeof(file), compare)
			   : NULL;

	return found && (found == shared->files || compare(found - 1, &file)) &&
	       (found + 1 == shared->files + shared->nr || compare(found + 1, &file));
}

int ccr__shared_for_each(pid_t pid, const struct mapping *m, bool is_own,
			 int (*each)(uint64_t start, uint64_t end, void *data), void *data)
{
	const off_t size = m->end - m->start;
	struct stat st;
	char path[96];
	off_t from = 0, to = 0;
	int fd, ret;

	ret = is_own ? find_all(&all) : 0;
	if (ret)
		return ret;
	if (is_own && !is_alone(&all, m))
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
