// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/trace/each_thread.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int ccr__each_thread(pid_t pid, int (*act)(pid_t tid, void *data), void *data)
{
	struct dirent *entry;
	char path[32];
	int ret = 0;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	if (!threads)
		return -errno;
	while (!ret && (entry = readdir(threads))) {
		const pid_t tid = strtol(entry->d_name, NULL, 10);

		if (tid > 0)
			ret = act(tid, data);
	}
	closedir(threads);
	return ret;
}
