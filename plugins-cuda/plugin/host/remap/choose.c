// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chooses which memory of a task is mapped from a page file: private anonymous
 * memory with large runs of pages, and everything that comes from an earlier
 * page file. A mapping with a property that a file mapping cannot have, or that
 * this code does not know, is left alone.
 */
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "plugin/host/remap/shared.h"
#include "plugin/host/remap/smaps.h"

/* /proc/PID/pagemap has one 64-bit word for each page. */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
#define PAGEMAP_GUARD	(1ull << 58)
#define PAGEMAP_FRAME	((1ull << 55) - 1)
#define PAGEMAP_BATCH	8192

#define HUGE_PAGE     (2ull << 20)
#define VMAS_TO_SPARE 64

struct chooser {
	struct remap_plan *plan;
	int pagemap;
	uint64_t page, min_bytes, zero_frame; /* zero_frame: 0: unknown */
	size_t nr_vmas, max_vmas;
	size_t segment_room, run_room;
	const struct remap_ranges *before;
	size_t next_before;
	pid_t pid;
	struct shared_memory shared;
	bool has_shared; /* `shared` has been filled */
	bool is_fresh;	 /* whether the driver made the runs that are not in a segment yet */
};

static void *grow(void *array, size_t *room, size_t item)
{
	const size_t more = *room ? *room * 2 : 256;
	void *bigger = realloc(array, more * item);

	if (bigger)
		*room = more;
	return bigger;
}

static int add_run(struct chooser *c, uint64_t address, uint64_t size)
{
	struct remap_plan *plan = c->plan;

	if (plan->nr_runs == c->run_room) {
		void *bigger = grow(plan->runs, &c->run_room, sizeof(*plan->runs));

		if (!bigger)
			return -ENOMEM;
		plan->runs = bigger;
	}
	plan->runs[plan->nr_runs++] = (struct remap_run){address, size, 0};
	return 0;
}

static int add_segment(struct chooser *c, const struct mapping *m, uint64_t start, uint64_t end)
{
	struct remap_plan *plan = c->plan;

	if (plan->nr_segments == c->segment_room) {
		void *bigger = grow(plan->segments, &c->segment_room, sizeof(*plan->segments));

		if (!bigger)
			return -ENOMEM;
		plan->segments = bigger;
	}
	plan->segments[plan->nr_segments++] = (struct remap_segment){
		start, end - start, 0, m->prot, m->advice, m->is_shared, c->is_fresh};
	return 0;
}

/* ---- the pages of one mapping ---- */

/* Makes one segment of the runs since `first` if they span enough memory; otherwise drops them. */
static int close_segment(struct chooser *c, const struct mapping *m, size_t first)
{
	struct remap_plan *plan = c->plan;
	const struct remap_run *last;
	uint64_t start, end;

	if (plan->nr_runs == first)
		return 0;
	last = plan->runs + plan->nr_runs - 1;
	start = plan->runs[first].address;
	end = last->address + last->size;
	/* Each segment splits a mapping into three at most. */
	if (end - start < c->min_bytes ||
	    c->nr_vmas + 2 * plan->nr_segments + VMAS_TO_SPARE > c->max_vmas) {
		plan->nr_runs = first;
		return 0;
	}
	return add_segment(c, m, start, end);
}

/* Whether the page was mapped after `before` was taken. Must be called with rising addresses. */
static bool is_fresh(struct chooser *c, uint64_t address)
{
	const struct remap_ranges *before = c->before;

	if (!before)
		return false;
	while (c->next_before < before->nr && before->list[c->next_before].end <= address)
		c->next_before++;
	return c->next_before == before->nr || before->list[c->next_before].start > address;
}

/* Adds a page that holds data: to the last run, or to a new run of this or a new segment. */
static int add_page(struct chooser *c, const struct mapping *m, uint64_t address, size_t *first)
{
	struct remap_plan *plan = c->plan;
	struct remap_run *last = plan->nr_runs > *first ? plan->runs + plan->nr_runs - 1 : NULL;
	const bool fresh = is_fresh(c, address);
	const uint64_t gap = last ? address - (last->address + last->size) : 0;

	if (last && !gap && fresh == c->is_fresh) {
		last->size += c->page;
		return 0;
	}
	if (last && (gap >= c->min_bytes || fresh != c->is_fresh)) {
		const int ret = close_segment(c, m, *first);

		if (ret)
			return ret;
		*first = plan->nr_runs;
	}
	c->is_fresh = fresh;
	return add_run(c, address, c->page);
}

/* Whether the page holds data. A page that was only ever read is the kernel's one page of zeroes,
 * which we treat as a hole. */
static bool has_data(const struct chooser *c, uint64_t word)
{
	return word & PAGEMAP_SWAPPED ||
	       (word & PAGEMAP_PRESENT &&
		(!c->zero_frame || (word & PAGEMAP_FRAME) != c->zero_frame));
}

static uint64_t find_zero_frame(uint64_t page)
{
	volatile char *memory = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t word = 0;

	if (memory != MAP_FAILED && fd >= 0 && !memory[0] &&
	    ccr_io_pread_full(fd, &word, sizeof(word), (uintptr_t)memory / page * sizeof(word)))
		word = 0;
	if (fd >= 0)
		close(fd);
	if (memory != MAP_FAILED)
		munmap((void *)memory, page);
	return word & PAGEMAP_FRAME;
}

static int choose_pages(struct chooser *c, const struct mapping *m)
{
	const size_t runs_before = c->plan->nr_runs, segments_before = c->plan->nr_segments;
	size_t first = runs_before;
	uint64_t words[PAGEMAP_BATCH];

	for (uint64_t at = m->start; at < m->end;) {
		const uint64_t left = (m->end - at) / c->page;
		const size_t nr = left < PAGEMAP_BATCH ? left : PAGEMAP_BATCH;
		int ret = ccr_io_pread_full(c->pagemap, words, nr * sizeof(*words),
					    at / c->page * sizeof(*words));

		for (size_t i = 0; !ret && i < nr; i++) {
			if (words[i] & PAGEMAP_GUARD) {
				c->plan->nr_runs = runs_before;
				c->plan->nr_segments = segments_before;
				return 0;
			}
			if (has_data(c, words[i]))
				ret = add_page(c, m, at + i * c->page, &first);
		}
		if (ret)
			return ret;
		at += nr * c->page;
	}
	return close_segment(c, m, first);
}

static int add_shared(uint64_t start, uint64_t end, void *data)
{
	return add_run(data, start, end - start);
}

/* Takes all of the mapping or nothing: the rest could not be shared with the page file. */
static int choose_shared(struct chooser *c, const struct mapping *m)
{
	const size_t runs_before = c->plan->nr_runs;
	int ret = 0;

	if (m->end - m->start < c->min_bytes || is_fresh(c, m->start))
		return 0;
	if (!c->has_shared)
		ret = ccr__shared_find_all(&c->shared);
	c->has_shared = true;
	if (!ret)
		ret = ccr__shared_for_each(&c->shared, c->pid, m, add_shared, c);
	if (ret)
		c->plan->nr_runs = runs_before;
	if (ret || c->plan->nr_runs == runs_before)
		return ret == -ENOTSUP ? 0 : ret;
	c->is_fresh = false;
	return add_segment(c, m, m->start, m->end);
}

static int choose(struct chooser *c, const struct mapping *m)
{
	int ret;

	if (m->is_page_file) { /* all of it: the new images must not need the old page file */
		c->is_fresh = false;
		ret = add_run(c, m->start, m->end - m->start);
		return ret ? ret : add_segment(c, m, m->start, m->end);
	}
	return m->end - m->start < c->min_bytes ? 0 : choose_pages(c, m);
}

static int choose_in_mapping(const struct mapping *m, void *data)
{
	struct chooser *c = data;

	c->nr_vmas++;
	if (!m->is_known || !(m->prot & PROT_READ))
		return 0;
	return m->is_shared ? choose_shared(c, m) : m->is_private ? choose(c, m) : 0;
}

static size_t map_count_limit(void)
{
	size_t limit = 65530;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

	if (file && fscanf(file, "%zu", &limit) != 1)
		limit = 65530;
	if (file)
		fclose(file);
	return limit;
}

/*
 * Assigns offsets in the file, in order. A long segment has the same alignment
 * to huge pages in the file as in memory, so that a tmpfs can map huge pages.
 */
static void assign_offsets(struct remap_plan *plan)
{
	struct remap_run *run = plan->runs;
	uint64_t end = 0;

	plan->stored = 0;
	for (size_t i = 0; i < plan->nr_segments; i++) {
		struct remap_segment *s = &plan->segments[i];

		s->offset = end;
		if (s->size >= HUGE_PAGE)
			s->offset += (s->address - end) % HUGE_PAGE;
		for (; run < plan->runs + plan->nr_runs && run->address < s->address + s->size;
		     run++) {
			run->offset = s->offset + (run->address - s->address);
			plan->stored += run->size;
		}
		end = s->offset + s->size;
	}
	plan->file_size = end;
}

int ccr__remap_choose(struct remap_plan *plan, pid_t pid, uint64_t min_bytes,
		      const struct remap_ranges *before)
{
	struct chooser c = {.plan = plan,
			    .page = getpagesize(),
			    .min_bytes = min_bytes,
			    .before = before,
			    .pid = pid};
	char path[48];
	int ret;

	memset(plan, 0, sizeof(*plan));
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	c.pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (c.pagemap < 0)
		return -errno;
	c.zero_frame = find_zero_frame(c.page);
	c.max_vmas = map_count_limit();
	ret = ccr__smaps_for_each(pid, choose_in_mapping, &c);
	close(c.pagemap);
	free(c.shared.inodes);
	if (!ret)
		assign_offsets(plan);
	return ret;
}

void ccr__remap_free(struct remap_plan *plan)
{
	free(plan->segments);
	free(plan->runs);
	memset(plan, 0, sizeof(*plan));
}
