// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/inject/crew.h"

#include <errno.h>

#include "plugin/trace/each_thread.h"

static void list_tids(const struct crew *crew, pid_t tids[WATCHER_MAX_THREADS])
{
	for (size_t i = 0; i < crew->nr; i++)
		tids[i] = crew->threads[i].pid;
}

struct choice {
	struct crew *crew;
	pid_t spared;
	const struct injection *known;
};

/* Returns 1 when there are enough. */
static int choose(pid_t tid, void *data)
{
	const struct choice *choice = data;
	struct crew *crew = choice->crew;
	int ret;

	if (tid == choice->spared)
		return 0;
	ret = ccr__inject_look(&crew->threads[crew->nr], tid,
			       crew->nr ? crew->threads : choice->known);
	crew->nr += !ret;
	if (crew->nr == WATCHER_MAX_THREADS)
		return 1;
	return ret == -ENOTSUP ? 0 : ret;
}

int ccr__crew_prepare(struct crew *crew, pid_t pid, pid_t spared, const struct injection *known)
{
	struct choice choice = {crew, spared, known};
	pid_t tids[WATCHER_MAX_THREADS];
	int ret;

	*crew = (struct crew){.nr = 0};
	ret = ccr__each_thread(pid, choose, &choice);
	list_tids(crew, tids);
	if (ret > 0)
		ret = 0;
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
