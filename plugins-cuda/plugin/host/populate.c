// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's checkpoint maps as much memory as it has to save and populates
 * it page by page in one thread before it copies, which takes half of its time.
 * Meanwhile we make other threads of the task, which criu has stopped, populate
 * the same memory from its end until they meet the driver. MADV_POPULATE_WRITE
 * changes no byte, so it does not matter which of them comes first. Linux does
 * not announce new mappings of another process, so we read the list of mappings
 * repeatedly until the driver is done.
 */
#include "plugin/host/populate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin/host/host.h"
#include "plugin/task/driver_call.h"
#include "plugin/inject/crew.h"

#define POLL_MS	  5
#define MIN_BYTES (32ull << 20) /* not worth the effort for less */
#define PIECE	  (64ull << 20) /* populated between two checks whether the driver is done */

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

struct populate {
	struct crew crew;
	uint64_t bytes;	    /* populated */
	double first, last; /* when it began and ended */
	bool was_called;    /* there was something to populate */
	int failed;	    /* 0, or -errno: threads do not respond */
};

/* Finds large private anonymous memory that is not in `known`. */
static bool find_new(pid_t pid, const struct remap_ranges *known, struct remap_range *found)
{
	unsigned long start, end, inode;
	char path[32], line[512], perms[5];
	bool is_found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && !is_found && fgets(line, sizeof(line), maps)) {
		int at = 0;

		if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu %n", &start, &end, perms, &inode,
			   &at) == 4 &&
		    !inode && !line[at] && !strcmp(perms, "rw-p"))
			is_found = ccr__remap_find_new(known, start, end, MIN_BYTES, found);
	}
	if (maps)
		fclose(maps);
	return is_found;
}

/* Populates one piece with each thread, from the end; `*end` moves down to what is left. */
static int populate_some(struct crew *crew, uint64_t start, uint64_t *end)
{
	unsigned int started = 0;
	int ret = 0;

	while (started < crew->nr) {
		const uint64_t left = *end - start, size = left < PIECE ? left : PIECE;
		const uint64_t arguments[6] = {*end - size, size, MADV_POPULATE_WRITE};

		if (!left)
			break;
		ret = ccr__inject_start(&crew->threads[started], SYS_madvise, arguments);
		if (ret)
			break;
		started++;
		*end -= size;
	}
	for (unsigned int i = 0; i < started; i++) {
		int64_t result;
		const int finished = ccr__inject_finish(&crew->threads[i], &result);

		if (!ret)
			ret = finished ? finished : (int)result;
	}
	return ret;
}

static int populate(struct populate *p, const struct driver_call *call,
		    const struct remap_range *range)
{
	uint64_t end = range->end;
	int ret = 0;

	while (!ret && end > range->start && !ccr__driver_call_is_done(call, 0)) {
		const uint64_t before = end;

		ret = populate_some(&p->crew, range->start, &end);
		if (!ret)
			p->bytes += before - end;
		p->last = ccr__now_ms();
	}
	return ret;
}

/* Threads are only disturbed once there is something to populate. */
static int populate_new(struct populate *p, const struct driver_call *call,
			const struct remap_range *range)
{
	int ret = 0;

	if (!p->was_called) {
		ret = ccr__crew_begin(&p->crew);
		p->first = ccr__now_ms();
	}
	p->was_called = true;
	p->failed = ret == -ENOTSUP ? 0 : ret;
	return ret ? ret : populate(p, call, range);
}

static void populate_until_done(struct populate *p, const struct driver_call *call,
				struct remap_ranges *known)
{
	const double start = ccr__now_ms();
	struct remap_range range;
	int ret = 0;

	while (!ccr__driver_call_is_done(call, POLL_MS)) {
		while (p->crew.nr && !ret && find_new(call->pid, known, &range)) {
			ccr__host_memory_expect(call->pid, &range);
			ccr__host_memory_advance();
			ret = populate_new(p, call, &range);
			if (!ret)
				ret = ccr__remap_add_range(known, &range);
		}
		ccr__host_memory_advance();
	}
	if (ret)
		ccr_warn("%d: cannot populate memory for the driver: %s; its checkpoint takes "
			 "longer",
			 call->pid, strerror(-ret));
	if (p->bytes)
		ccr_info("%d: %llu bytes populated ahead of the driver, from %.1f to %.1f ms after "
			 "it was called",
			 call->pid, (unsigned long long)p->bytes, p->first - start,
			 p->last - start);
}

int ccr__populate_checkpoint(const struct task *task, const struct remap_ranges *before,
			     CUresult *result)
{
	struct driver_call call = {.function = ccr__driver_checkpoint, .pid = task->pid};
	struct populate populate = {.crew.nr = 0};
	struct remap_ranges known = {0};
	bool is_called = false;
	int ret = 0, ended;

	for (size_t i = 0; !ret && i < before->nr; i++)
		ret = ccr__remap_add_range(&known, &before->list[i]);
	if (!ret)
		ret = ccr__crew_prepare(&populate.crew, task->pid, task->restore_tid, NULL);
	if (!ret)
		is_called = !ccr__driver_call_begin(&call);
	if (is_called) {
		populate_until_done(&populate, &call, &known);
		ccr__driver_call_end(&call);
	}
	ended = ccr__crew_end(&populate.crew);
	free(known.list);
	*result = call.result;
	if (!is_called)
		return ended ? ended : -ENOTSUP;
	return populate.failed ? populate.failed : ended;
}
