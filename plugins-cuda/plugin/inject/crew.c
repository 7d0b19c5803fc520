// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/inject/crew.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void list_tids(const struct crew *crew, pid_t tids[WATCHER_MAX_THREADS])
{
	for (size_t i = 0; i < crew->nr; i++)
		tids[i] = crew->threads[i].pid;
}

static int choose(struct crew *crew, pid_t pid, pid_t spared)
{
	struct dirent *entry;
	char path[32];
	int ret = 0;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	if (!threads)
		return -errno;
	while (!ret && crew->nr < WATCHER_MAX_THREADS && (entry = readdir(threads))) {
		const pid_t tid = strtol(entry->d_name, NULL, 10);

		if (tid <= 0 || tid == spared)
			continue;
		ret = ccr__inject_look(&crew->threads[crew->nr], tid);
		crew->nr += !ret;
		ret = ret == -ENOTSUP ? 0 : ret;
	}
	closedir(threads);
	return ret;
}

int ccr__crew_prepare(struct crew *crew, pid_t pid, pid_t spared)
{
	pid_t tids[WATCHER_MAX_THREADS];
	int ret;

	*crew = (struct crew){.nr = 0};
	ret = choose(crew, pid, spared);
	list_tids(crew, tids);
	if (!ret && crew->nr)
		ret = ccr__watcher_prepare_guards(tids, crew->nr);
	if (ret)
		crew->nr = 0;
	return ret;
}

int ccr__crew_begin(struct crew *crew)
{
	struct injected records[WATCHER_MAX_THREADS];
	int ret = 0;

	for (size_t i = 0; i < crew->nr; i++) {
		records[i] = ccr__inject_record(&crew->threads[i]);
		records[i].is_bare = true;
		if (!ret)
			ret = ccr__guard_stop(crew->threads[i].pid, true, true);
	}
	if (!ret)
		ret = ccr__watcher_injected(records, crew->nr);
	if (ret)
		return ret;
	ccr__inject_defer_signals(true);
	crew->is_at_work = true;
	while (!ret && crew->nr_entered < crew->nr)
		ret = ccr__inject_enter(&crew->threads[crew->nr_entered++]);
	return ret;
}

int ccr__crew_end(struct crew *crew)
{
	pid_t tids[WATCHER_MAX_THREADS];
	int ret = 0;

	for (size_t i = 0; i < crew->nr_entered; i++) {
		const int left = ccr__inject_leave(&crew->threads[i]);

		if (!ret)
			ret = left;
	}
	list_tids(crew, tids);
	if (crew->nr)
		ccr__watcher_injection_ended(tids, crew->nr);
	if (crew->is_at_work)
		ccr__inject_defer_signals(false);
	*crew = (struct crew){.nr = 0};
	return ret;
}
