// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes the pages of a stopped task, with several of its threads: for one thread it takes as long
 * as to copy the pages with many. Each thread makes one system call at a time; those that take
 * longest come first, so that the calls of one round take about as long.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "plugin/host/remap/remap.h"
#include "plugin/inject/crew.h"
#include "plugin/task/state.h"

#define PIECE	  (32ull << 20)
#define MIN_BYTES (64ull << 20) /* of data; for less, one thread is enough */
#define DENSE	  8 /* a mapping with less than this part of data is not worth several calls */

/* One system call. */
struct drop {
	uint64_t address, size;
	int advice;
	size_t mapping;
};

struct drops {
	struct drop *list;
	size_t nr, room;
	uint64_t data; /* in the mappings */
};

static int add(struct drops *drops, const struct drop *drop)
{
	if (drops->nr == drops->room) {
		const size_t room = drops->room ? drops->room * 2 : 256;
		void *bigger = realloc(drops->list, room * sizeof(*drops->list));

		if (!bigger)
			return -ENOMEM;
		drops->list = bigger;
		drops->room = room;
	}
	drops->list[drops->nr++] = *drop;
	return 0;
}

static int add_pieces(struct drops *drops, const struct remap_mapping *m, size_t index,
		      uint64_t start, uint64_t end)
{
	const uint64_t piece = m->data < m->size / DENSE ? m->size : PIECE;
	const int advice = m->is_shared ? MADV_REMOVE : MADV_DONTNEED;
	int ret = 0;

	while (!ret && start < end) {
		const uint64_t left = end - start, size = left < piece ? left : piece;

		ret = add(drops, &(struct drop){start, size, advice, index});
		start += size;
	}
	return ret;
}

/* All pages but those in use. */
static int add_mapping(struct drops *drops, const struct remap_plan *plan, size_t index)
{
	const struct remap_ranges *in_use = &plan->in_use;
	const struct remap_mapping *m = &plan->mappings[index];
	const uint64_t end = m->address + m->size;
	uint64_t at = m->address;
	int ret = 0;

	drops->data += m->data;
	for (size_t i = ccr__remap_find_range(in_use, at); !ret && at < end; i++) {
		const struct remap_range *used = i < in_use->nr ? &in_use->list[i] : NULL;
		const uint64_t stop = used && used->start < end ? used->start : end;

		ret = add_pieces(drops, m, index, at, stop);
		at = used && used->start < end ? used->end : end;
	}
	return ret;
}

static int by_size(const void *a, const void *b)
{
	const struct drop *left = a, *right = b;

	return (left->size < right->size) - (left->size > right->size);
}

/* One call in each thread. Returns 0, or -errno: a thread does not respond. */
static int drop_some(struct injection *const *threads, size_t nr, const struct drop *list,
		     struct remap_dropped *dropped)
{
	size_t started = 0;
	int ret = 0;

	while (!ret && started < nr) {
		const struct drop *drop = &list[started];
		const uint64_t arguments[6] = {drop->address, drop->size, drop->advice};

		ret = ccr__inject_start(threads[started], SYS_madvise, arguments);
		started += !ret;
	}
	for (size_t i = 0; i < started; i++) {
		int64_t result = 0;
		const int finished = ccr__inject_finish(threads[i], &result);

		if (!ret)
			ret = finished;
		if (result)
			dropped[list[i].mapping].error = result;
		else
			dropped[list[i].mapping].is_any = true;
	}
	return ret;
}

static int drop_all(const struct drops *drops, struct injection *leader, struct crew *crew,
		    struct remap_dropped *dropped)
{
	struct injection *threads[WATCHER_MAX_THREADS + 1] = {leader};
	const size_t nr = 1 + crew->nr_entered;
	int ret = 0;

	for (size_t i = 0; i < crew->nr_entered; i++)
		threads[i + 1] = &crew->threads[i];
	for (size_t done = 0; !ret && done < drops->nr; done += nr) {
		const size_t left = drops->nr - done;

		ret = drop_some(threads, left < nr ? left : nr, drops->list + done, dropped);
	}
	return ret;
}

/* With more threads, where they may be used. */
static int drop_with_crew(const struct drops *drops, struct injection *leader,
			  struct remap_dropped *dropped)
{
	struct crew crew;
	int ret = ccr__crew_prepare(&crew, leader->tgid, leader->pid, leader), ended;

	if (ret == -ESRCH)
		return ret;
	ret = crew.nr ? ccr__crew_begin(&crew) : 0;
	if (ret == -ENOTSUP) {
		ret = ccr__crew_end(&crew);
		crew = (struct crew){.nr = 0};
	}
	if (!ret)
		ret = drop_all(drops, leader, &crew, dropped);
	ended = ccr__crew_end(&crew);
	return ret ? ret : ended;
}

int ccr__remap_drop(const struct remap_plan *plan, struct injection *leader,
		    struct remap_dropped *dropped)
{
	struct crew nobody = {.nr = 0};
	struct drops drops = {0};
	int ret = 0;

	for (size_t i = 0; !ret && i < plan->nr_mappings; i++)
		if (!plan->mappings[i].is_mapped && !plan->mappings[i].is_page_file)
			ret = add_mapping(&drops, plan, i);
	if (!ret && drops.nr)
		qsort(drops.list, drops.nr, sizeof(*drops.list), by_size);
	if (!ret)
		ret = drops.data < MIN_BYTES ? drop_all(&drops, leader, &nobody, dropped)
					     : drop_with_crew(&drops, leader, dropped);
	free(drops.list);
	return ret;
}
