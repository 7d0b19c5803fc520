// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/trace/traced_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "plugin/trace/each_thread.h"
#include "plugin/trace/proc_status.h"

struct list {
	pid_t *pids;
	size_t nr, room;
};

static int add(struct list *list, pid_t pid)
{
	if (list->nr == list->room) {
		const size_t room = list->room ? list->room * 2 : 64;
		pid_t *bigger = realloc(list->pids, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		list->pids = bigger;
		list->room = room;
	}
	list->pids[list->nr++] = pid;
	return 0;
}

/* Those that one thread has started. */
static int add_children(pid_t tid, void *data)
{
	FILE *children;
	char path[64];
	int child, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", tid, tid);
	children = fopen(path, "re");
	while (children && !ret && fscanf(children, "%d", &child) == 1)
		if (ccr__tracer_of(child) == getpid())
			ret = add(data, child);
	if (children)
		fclose(children);
	return ret;
}

pid_t *ccr__traced_tree(pid_t pid, size_t *nr)
{
	struct list list = {0};
	int ret = add(&list, pid);

	for (size_t i = 0; ret != -ENOMEM && i < list.nr; i++)
		ret = ccr__each_thread(list.pids[i], add_children, &list);
	if (ret == -ENOMEM) {
		free(list.pids);
		return NULL;
	}
	*nr = list.nr;
	return list.pids;
}
