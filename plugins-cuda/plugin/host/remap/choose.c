// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chooses which memory of a task is stored in a page file. A mapping is taken as
 * a whole, because a part of it could only be handled by splitting it, and the
 * number of mappings is limited. A mapping with a property that this code does
 * not know is left to CRIU, and so is memory that the task shares with another
 * process, also by copy-on-write: CRIU restores it as shared, filling it would
 * give each process a copy.
 */
#include "plugin/host/remap/remap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/shared.h"
#include "plugin/host/remap/smaps.h"

/* CRIU and the injection need some mappings of their own. */
#define VMAS_TO_SPARE 64
/* Each mapping takes two system calls of the stopped task at a dump and up to two at a restore,
 * together 0.1 ms. That is less than CRIU takes for 1 MiB, the least that a mapping has, but the
 * pause must have an end: with this number it is 2 s. */
#define MAX_MAPPINGS 16384
/* To look for pages takes 50 ms for this much, also where there are none: a larger mapping must
 * have enough data for that. Reserved address space can have terabytes. */
#define MAX_SPARSE   (64ull << 30)
#define MIN_FRACTION 1024

struct chooser {
	struct remap_plan *plan;
	const struct remap_wishes *wishes;
	struct remap_pagemap pagemap;
	struct remap_ranges children; /* what they have mapped */
	pid_t pid;
	size_t nr_vmas, room;
};

static int add_mapping(struct chooser *c, const struct remap_mapping *mapping)
{
	struct remap_plan *plan = c->plan;

	if (plan->nr_mappings == c->room) {
		const size_t room = c->room ? c->room * 2 : 256;
		void *bigger = realloc(plan->mappings, room * sizeof(*plan->mappings));

		if (!bigger)
			return -ENOMEM;
		plan->mappings = bigger;
		c->room = room;
	}
	plan->mappings[plan->nr_mappings++] = *mapping;
	return 0;
}

/* Adds the mapping with the runs since `first` if they are worth it, or else drops them. `shared`:
 * the bytes that another process has, too. */
static int close_mapping(struct chooser *c, struct remap_mapping *mapping, size_t first,
			 uint64_t shared)
{
	struct remap_plan *plan = c->plan;

	for (size_t i = first; i < plan->nr_runs; i++)
		mapping->data += plan->runs[i].size;
	mapping->first_run = first;
	mapping->nr_runs = plan->nr_runs - first;
	if (shared <= mapping->data / 2 && mapping->data &&
	    (mapping->data >= c->wishes->min_bytes || mapping->is_page_file))
		return add_mapping(c, mapping);
	plan->nr_runs = first;
	return 0;
}

static bool overlaps(const struct remap_ranges *ranges, uint64_t start, uint64_t end)
{
	const size_t next = ccr__remap_find_range(ranges, start);

	return next < ranges->nr && ranges->list[next].start < end;
}

/* Takes what lies between two addresses of a private mapping. */
static int choose_part(struct chooser *c, const struct mapping *m, uint64_t start, uint64_t end,
		       bool is_drivers)
{
	struct remap_mapping mapping = {.address = start,
					.size = end - start,
					.prot = m->prot,
					.flags = m->flags,
					.is_drivers = is_drivers,
					.is_in_use = overlaps(&c->plan->in_use, start, end)};
	const size_t first = c->plan->nr_runs;
	uint64_t shared;
	int ret;

	if (end - start < c->wishes->min_bytes || (is_drivers && c->wishes->is_early))
		return 0;
	mapping.keeps_access = mapping.is_in_use || overlaps(&c->children, start, end);
	mapping.may_be_late = c->wishes->is_unpinned && !is_drivers && m->prot & PROT_WRITE &&
			      !(m->flags & MAPPING_HUGEPAGE);
	mapping.is_mapped = is_drivers && c->wishes->can_map && !mapping.is_in_use;
	ret = ccr__remap_add_runs(c->plan, &c->pagemap, start, end, &shared);
	if (!ret)
		return close_mapping(c, &mapping, first, shared);
	c->plan->nr_runs = first;
	return ret == -ENOTSUP ? 0 : ret;
}

/* The driver's memory may have become one mapping with its neighbors. */
static int choose_private(struct chooser *c, const struct mapping *m)
{
	const struct remap_ranges *before = c->wishes->before;
	uint64_t at = m->start;
	int ret = 0;

	if (!before)
		return choose_part(c, m, m->start, m->end, false);
	while (!ret && at < m->end) {
		const size_t next = ccr__remap_find_range(before, at);
		const bool is_new = next == before->nr || before->list[next].start > at;
		uint64_t end = m->end;

		if (next < before->nr) {
			end = is_new ? before->list[next].start : before->list[next].end;
			end = end < m->end ? end : m->end;
		}
		ret = choose_part(c, m, at, end, is_new);
		at = end;
	}
	return ret;
}

static int add_shared(uint64_t start, uint64_t end, void *data)
{
	return ccr__remap_add_run(data, start, end - start);
}

/* Nothing of the task may be in the way while the memory cannot be accessed. */
static int choose_shared(struct chooser *c, const struct mapping *m)
{
	struct remap_mapping mapping = {.address = m->start,
					.size = m->end - m->start,
					.prot = m->prot,
					.flags = m->flags,
					.is_shared = true};
	const size_t first = c->plan->nr_runs;
	struct remap_range unused;
	int ret;

	if (mapping.size < c->wishes->min_bytes || !(m->prot & PROT_WRITE) ||
	    overlaps(&c->plan->in_use, m->start, m->end) ||
	    (c->wishes->before &&
	     ccr__remap_find_new(c->wishes->before, m->start, m->end, 1, &unused)))
		return 0;
	ret = ccr__shared_for_each(c->pid, m, !c->wishes->is_early, add_shared, c->plan);
	if (!ret)
		return close_mapping(c, &mapping, first, 0);
	c->plan->nr_runs = first;
	return ret == -ENOTSUP ? 0 : ret;
}

/* A criu of version 0.2.0 that was killed left it: what is dumped now must not need its file. */
static int choose_page_file(struct chooser *c, const struct mapping *m)
{
	struct remap_mapping mapping = {.address = m->start,
					.size = m->end - m->start,
					.prot = m->prot,
					.flags = m->flags,
					.is_page_file = true};
	const size_t first = c->plan->nr_runs;
	const int ret = ccr__remap_add_run(c->plan, m->start, m->end - m->start);

	return ret ? ret : close_mapping(c, &mapping, first, 0);
}

static int choose_in_mapping(const struct mapping *m, void *data)
{
	struct chooser *c = data;

	c->nr_vmas++;
	if (!m->is_known || !(m->prot & PROT_READ))
		return 0;
	if (m->is_page_file)
		return c->wishes->is_early ? 0 : choose_page_file(c, m);
	if (m->is_shared)
		return choose_shared(c, m);
	/* Memory that could never be written to has no data worth the effort, and to make it
	 * writable would change how the kernel accounts for it. */
	if (!m->is_private ||
	    (!(m->prot & PROT_WRITE) && !(m->flags & (MAPPING_ACCOUNTED | MAPPING_NORESERVE))) ||
	    m->in_memory < c->wishes->min_bytes ||
	    (m->end - m->start > MAX_SPARSE && m->in_memory < (m->end - m->start) / MIN_FRACTION))
		return 0;
	return choose_private(c, m);
}

/* ---- the budget ---- */

static int by_data(const void *a, const void *b)
{
	const struct remap_mapping *left = a, *right = b;

	if (left->is_page_file != right->is_page_file)
		return left->is_page_file ? -1 : 1;
	return (left->data < right->data) - (left->data > right->data);
}

static int by_address(const void *a, const void *b)
{
	const struct remap_mapping *left = a, *right = b;

	return (left->address > right->address) - (left->address < right->address);
}

/* Drops the mappings with least data, and the runs of all that were dropped. */
static void keep_largest(struct remap_plan *plan)
{
	size_t nr_runs = 0;

	if (plan->nr_mappings > MAX_MAPPINGS) {
		qsort(plan->mappings, plan->nr_mappings, sizeof(*plan->mappings), by_data);
		plan->nr_mappings = MAX_MAPPINGS;
		qsort(plan->mappings, plan->nr_mappings, sizeof(*plan->mappings), by_address);
	}
	for (size_t i = 0; i < plan->nr_mappings; i++) {
		struct remap_mapping *m = &plan->mappings[i];

		memmove(plan->runs + nr_runs, plan->runs + m->first_run,
			m->nr_runs * sizeof(*plan->runs));
		m->first_run = nr_runs;
		nr_runs += m->nr_runs;
	}
	plan->nr_runs = nr_runs;
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

/* A mapping of the file splits a mapping into three at most. */
static void limit_mapped(struct remap_plan *plan, size_t nr_vmas)
{
	size_t nr_mapped = 0;

	for (size_t i = 0; i < plan->nr_mappings; i++)
		nr_mapped += plan->mappings[i].is_mapped;
	if (nr_vmas + 2 * nr_mapped + VMAS_TO_SPARE <= map_count_limit())
		return;
	for (size_t i = 0; i < plan->nr_mappings; i++)
		plan->mappings[i].is_mapped = false;
}

int ccr__remap_choose(struct remap_plan *plan, pid_t pid, const struct remap_wishes *wishes)
{
	struct chooser c = {.plan = plan, .wishes = wishes, .pid = pid};
	int ret;

	memset(plan, 0, sizeof(*plan));
	ret = wishes->is_early ? 0 : ccr__remap_in_use(&plan->in_use, pid);
	if (!ret)
		ret = ccr__remap_pagemap_open(&c.pagemap, pid);
	if (ret)
		return ret;
	if (!wishes->is_early)
		ret = ccr__remap_children(&c.children, pid);
	if (!ret)
		ret = ccr__smaps_for_each(pid, choose_in_mapping, &c);
	free(c.children.list);
	close(c.pagemap.fd);
	if (ret)
		return ret;
	keep_largest(plan);
	limit_mapped(plan, c.nr_vmas);
	return ccr__remap_lay_out(plan, wishes->early);
}

void ccr__remap_free(struct remap_plan *plan)
{
	free(plan->mappings);
	free(plan->pieces);
	free(plan->runs);
	free(plan->parts);
	free(plan->in_use.list);
	memset(plan, 0, sizeof(*plan));
}
