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
#include "plugin/inject/crew.h"

#define POLL_MS	  5
#define MIN_BYTES (32ull << 20) /* not worth the effort for less */
#define PIECE	  (64ull << 20) /* populated between two checks whether the driver is done */

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

struct populate {
	struct populate *next;
	pid_t pid;
	struct crew crew;
	struct remap_ranges known; /* what was mapped before, or is populated */
	struct remap_range range;  /* to populate; its end moves down to what is left */
	size_t nr_started;	   /* threads of the crew that populate */
	uint64_t bytes;		   /* populated */
	double start, first, last; /* when it began, and did something */
	bool was_called;	   /* there was something to populate */
	int ret;		   /* 0, or -errno: no more is populated */
	bool has_failed;	   /* threads do not respond */
};

static struct populate *populates;

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

/* Threads are only disturbed once there is something to populate. */
static int call_threads(struct populate *p)
{
	const int ret = p->was_called ? 0 : ccr__crew_begin(&p->crew);

	if (!p->was_called)
		p->first = ccr__now_ms();
	p->was_called = true;
	p->has_failed = ret && ret != -ENOTSUP;
	return ret;
}

static int find_work(struct populate *p)
{
	struct remap_range found;
	int ret;

	if (p->range.start < p->range.end || !find_new(p->pid, &p->known, &found))
		return 0;
	ccr__host_memory_expect(p->pid, &found);
	ret = ccr__remap_add_range(&p->known, &found);
	if (!ret)
		ret = call_threads(p);
	if (!ret)
		p->range = found;
	return ret;
}

/* Begins one piece in each thread, from the end. */
static int start_pieces(struct populate *p)
{
	while (p->nr_started < p->crew.nr && p->range.start < p->range.end) {
		const uint64_t left = p->range.end - p->range.start;
		const uint64_t size = left < PIECE ? left : PIECE;
		const uint64_t arguments[6] = {p->range.end - size, size, MADV_POPULATE_WRITE};
		const int ret =
			ccr__inject_start(&p->crew.threads[p->nr_started], SYS_madvise, arguments);

		if (ret)
			return ret;
		p->nr_started++;
		p->range.end -= size;
		p->bytes += size;
	}
	return 0;
}

static int finish_pieces(struct populate *p)
{
	int ret = 0;

	for (size_t i = 0; i < p->nr_started; i++) {
		int64_t result;
		const int finished = ccr__inject_finish(&p->crew.threads[i], &result);

		if (!ret)
			ret = finished ? finished : (int)result;
	}
	if (p->nr_started)
		p->last = ccr__now_ms();
	p->nr_started = 0;
	return ret;
}

/* Of all tasks at the same time. */
bool ccr__populate_some(void)
{
	bool has_worked = false;

	for (struct populate *p = populates; p; p = p->next) {
		if (!p->ret)
			p->ret = find_work(p);
		if (!p->ret)
			p->ret = start_pieces(p);
	}
	for (struct populate *p = populates; p; p = p->next) {
		int ret;

		has_worked |= p->nr_started;
		ret = finish_pieces(p);
		if (!p->ret)
			p->ret = ret;
	}
	return has_worked;
}

static int free_populate(struct populate *p)
{
	const int ret = p ? ccr__crew_end(&p->crew) : 0;

	if (p)
		free(p->known.list);
	free(p);
	return ret;
}

void ccr__populate_begin(const struct task *task, const struct remap_ranges *before)
{
	struct populate *p = calloc(1, sizeof(*p));
	int ret = p ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < before->nr; i++)
		ret = ccr__remap_add_range(&p->known, &before->list[i]);
	if (!ret)
		ret = ccr__crew_prepare(&p->crew, task->pid, task->restore_tid, NULL);
	if (ret || !p->crew.nr) {
		free_populate(p);
		return;
	}
	p->pid = task->pid;
	p->start = ccr__now_ms();
	p->next = populates;
	populates = p;
}

static void report(const struct populate *p)
{
	if (p->ret)
		ccr_warn("%d: cannot populate memory for the driver: %s; its checkpoint takes "
			 "longer",
			 p->pid, strerror(-p->ret));
	if (p->bytes)
		ccr_info("%d: %llu bytes populated ahead of the driver, from %.1f to %.1f ms after "
			 "it was called",
			 p->pid, (unsigned long long)p->bytes, p->first - p->start,
			 p->last - p->start);
}

int ccr__populate_end(pid_t pid)
{
	struct populate **link = &populates, *p;
	int failed, ended;

	while (*link && (*link)->pid != pid)
		link = &(*link)->next;
	p = *link;
	if (!p)
		return 0;
	*link = p->next;
	report(p);
	failed = p->has_failed ? p->ret : 0;
	ended = free_populate(p);
	return failed ? failed : ended;
}
