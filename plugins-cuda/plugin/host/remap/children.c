// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU restores a mapping that a process and its child have at the same addresses by handing
 * the parent's to the child, and does not give it the child's protection if that allows
 * writing. So memory that a child has too keeps its access rights while it is empty.
 */
#include "plugin/host/remap/remap.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int add_child(struct remap_ranges *ranges, pid_t child)
{
	struct remap_ranges own;
	int ret;

	ret = ccr__remap_ranges(&own, child);
	for (size_t i = 0; !ret && i < own.nr; i++)
		ret = ccr__remap_add_range(ranges, &own.list[i]);
	free(own.list);
	return ret == -ENOENT ? 0 : ret; /* it has just ended */
}

/* Those that one thread has started. */
static int add_children(struct remap_ranges *ranges, pid_t pid, const char *tid)
{
	char path[320];
	FILE *children;
	int child, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/children", pid, tid);
	children = fopen(path, "re");
	if (!children)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && fscanf(children, "%d", &child) == 1)
		ret = add_child(ranges, child);
	fclose(children);
	return ret;
}

int ccr__remap_children(struct remap_ranges *ranges, pid_t pid)
{
	struct dirent *entry;
	char path[32];
	int ret = 0;
	DIR *threads;

	*ranges = (struct remap_ranges){0};
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	if (!threads)
		return -errno;
	while (!ret && (entry = readdir(threads)))
		if (entry->d_name[0] != '.')
			ret = add_children(ranges, pid, entry->d_name);
	closedir(threads);
	return ret;
}
