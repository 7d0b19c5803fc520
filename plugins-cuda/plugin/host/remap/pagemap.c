// SPDX-License-Identifier: GPL-2.0-only
/* Which pages of a mapping hold data, and which of them another process maps as well. */
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"

/* /proc/PID/pagemap has one 64-bit word for each page. */
#define PAGEMAP_PRESENT	  (1ull << 63)
#define PAGEMAP_SWAPPED	  (1ull << 62)
#define PAGEMAP_GUARD	  (1ull << 58)
#define PAGEMAP_EXCLUSIVE (1ull << 56) /* no other process maps it */
#define PAGEMAP_FRAME	  ((1ull << 55) - 1)
#define PAGEMAP_BATCH	  8192
#define FIRST_ROOM	  256

int ccr__remap_add_run(struct remap_plan *plan, uint64_t address, uint64_t size)
{
	const size_t nr = plan->nr_runs;

	/* The list doubles when its length is a power of two. */
	if (!nr || (nr >= FIRST_ROOM && !(nr & (nr - 1)))) {
		const size_t room = nr ? nr * 2 : FIRST_ROOM;
		void *bigger = realloc(plan->runs, room * sizeof(*plan->runs));

		if (!bigger)
			return -ENOMEM;
		plan->runs = bigger;
	}
	plan->runs[plan->nr_runs++] = (struct remap_run){address, size};
	return 0;
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

int ccr__remap_pagemap_open(struct remap_pagemap *pagemap, pid_t pid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	pagemap->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pagemap->fd < 0)
		return -errno;
	pagemap->page = getpagesize();
	pagemap->zero_frame = find_zero_frame(pagemap->page);
	return 0;
}

/* Whether the page holds data. A page that was only ever read is the kernel's one page of zeroes,
 * which we treat as a hole. */
static bool has_data(const struct remap_pagemap *pagemap, uint64_t word)
{
	return word & PAGEMAP_SWAPPED ||
	       (word & PAGEMAP_PRESENT &&
		(!pagemap->zero_frame || (word & PAGEMAP_FRAME) != pagemap->zero_frame));
}

static int add_page(struct remap_plan *plan, size_t first, uint64_t address, uint64_t page)
{
	struct remap_run *last = plan->nr_runs > first ? plan->runs + plan->nr_runs - 1 : NULL;

	if (!last || last->address + last->size != address)
		return ccr__remap_add_run(plan, address, page);
	last->size += page;
	return 0;
}

int ccr__remap_add_runs(struct remap_plan *plan, const struct remap_pagemap *pagemap,
			uint64_t start, uint64_t end, uint64_t *shared)
{
	const struct remap_ranges *in_use = &plan->in_use;
	size_t next = ccr__remap_find_range(in_use, start);
	const size_t first = plan->nr_runs;
	uint64_t words[PAGEMAP_BATCH];
	int ret = 0;

	*shared = 0;
	for (uint64_t at = start; !ret && at < end;) {
		const uint64_t left = (end - at) / pagemap->page;
		const size_t nr = left < PAGEMAP_BATCH ? left : PAGEMAP_BATCH;

		ret = ccr_io_pread_full(pagemap->fd, words, nr * sizeof(*words),
					at / pagemap->page * sizeof(*words));
		for (size_t i = 0; !ret && i < nr; i++, at += pagemap->page) {
			while (next < in_use->nr && in_use->list[next].end <= at)
				next++;
			if (words[i] & PAGEMAP_GUARD)
				ret = -ENOTSUP;
			else if (!has_data(pagemap, words[i]) ||
				 (next < in_use->nr && in_use->list[next].start <= at))
				continue;
			else
				ret = add_page(plan, first, at, pagemap->page);
			if (words[i] & PAGEMAP_PRESENT && !(words[i] & PAGEMAP_EXCLUSIVE))
				*shared += pagemap->page;
		}
	}
	return ret;
}
