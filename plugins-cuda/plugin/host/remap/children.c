// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU restores a mapping that a process and its child have at the same addresses by handing
 * the parent's to the child, and does not give it the child's protection if that allows
 * writing. So memory that a child has too keeps its access rights while it is empty.
 */
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/trace/each_thread.h"

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
static int add_children(pid_t tid, void *data)
{
	struct remap_ranges *ranges = data;
	FILE *children;
	char path[64];
	int child, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", tid, tid);
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
	*ranges = (struct remap_ranges){0};
	return ccr__each_thread(pid, add_children, ranges);
}
