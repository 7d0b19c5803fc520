// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the page file has what was chosen. What an early copy has put there keeps
 * its place, and pieces end where its pieces do; the rest comes behind it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/pages/pages.h"
#include "plugin/host/remap/remap.h"

#define HUGE_PAGE (2ull << 20)
/* Between two pieces. To read as many zeroes takes as long as to handle another piece. */
#define MIN_GAP (64ull << 10)
/* With more, what was copied early is not worth it. */
#define MAX_EARLY (CCR_PAGES_MAX_MAPPINGS / 8)

struct layout {
	struct remap_plan *plan;
	const struct remap_plan *early; /* NULL: none */
};

/*
 * Assigns the offset. A long piece has the same alignment to huge pages in the
 * file as in memory, so that a tmpfs can use huge pages.
 */
static uint64_t take_place(struct remap_plan *plan, uint64_t start, uint64_t end)
{
	uint64_t offset = plan->file_size;

	if (end - start >= HUGE_PAGE)
		offset += (start - offset) % HUGE_PAGE;
	plan->file_size = offset + (end - start);
	return offset;
}

static void add_piece(struct remap_plan *plan, const struct remap_mapping *m, uint64_t start,
		      uint64_t end)
{
	const uint64_t offset = take_place(plan, start, end);

	plan->pieces[plan->nr_pieces++] = (struct remap_piece){start, end - start, offset, m};
}

/* The index of the first piece that ends after `address`; nr_pieces if there is none. */
static size_t find_piece(const struct remap_plan *plan, uint64_t address)
{
	size_t low = 0, high = plan->nr_pieces;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct remap_piece *piece = &plan->pieces[middle];

		if (piece->address + piece->size <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct remap_piece *find_early(const struct layout *l, uint64_t address)
{
	const size_t at = l->early ? find_piece(l->early, address) : 0;

	return l->early && at < l->early->nr_pieces ? &l->early->pieces[at] : NULL;
}

static void add_early(struct remap_plan *plan, const struct remap_mapping *m,
		      const struct remap_piece *early, uint64_t start, uint64_t end)
{
	plan->pieces[plan->nr_pieces++] = (struct remap_piece){
		start, end - start, early->offset + (start - early->address), m};
}

/* Where an early piece begins or ends, another piece begins. */
static void add_span(struct layout *l, const struct remap_mapping *m, uint64_t start, uint64_t end)
{
	struct remap_plan *plan = l->plan;

	while (start < end) {
		const struct remap_piece *early = find_early(l, start);
		uint64_t stop = end;

		if (!early || early->address >= end) {
			add_piece(plan, m, start, end);
		} else if (early->address > start) {
			stop = early->address;
			add_piece(plan, m, start, stop);
		} else {
			if (early->address + early->size < end)
				stop = early->address + early->size;
			add_early(plan, m, early, start, stop);
		}
		start = stop;
	}
}

/* What will be a mapping of the file is one piece. */
static void add_mapped(struct layout *l, const struct remap_mapping *m)
{
	const uint64_t end = m->address + m->size;
	const struct remap_piece *early = find_early(l, m->address);

	if (early && early->address <= m->address && early->address + early->size >= end)
		add_early(l->plan, m, early, m->address, end);
	else
		add_piece(l->plan, m, m->address, end);
}

/* Runs with less than `gap` between them are one span. */
static void add_mapping(struct layout *l, const struct remap_mapping *m, uint64_t gap)
{
	const struct remap_run *runs = l->plan->runs + m->first_run;

	if (m->is_mapped) {
		add_mapped(l, m);
		return;
	}
	for (size_t i = 0, next; i < m->nr_runs; i = next) {
		uint64_t end = runs[i].address + runs[i].size;

		for (next = i + 1; next < m->nr_runs && runs[next].address - end < gap; next++)
			end = runs[next].address + runs[next].size;
		add_span(l, m, runs[i].address, end);
	}
}

static bool gap_is_wide_enough(struct layout *l, uint64_t gap)
{
	struct remap_plan *plan = l->plan;

	plan->nr_pieces = 0;
	plan->file_size = l->early ? l->early->file_size : 0;
	for (size_t i = 0; i < plan->nr_mappings; i++)
		add_mapping(l, &plan->mappings[i], gap);
	return plan->nr_pieces <= CCR_PAGES_MAX_MAPPINGS;
}

static void add_parts(struct remap_plan *plan, const struct remap_piece *piece,
		      const struct remap_run *run)
{
	const struct remap_run *end = plan->runs + plan->nr_runs;

	for (; run < end && run->address < piece->address + piece->size; run++) {
		const uint64_t from = run->address > piece->address ? run->address : piece->address;
		const uint64_t run_end = run->address + run->size;
		const uint64_t piece_end = piece->address + piece->size;
		const uint64_t to = run_end < piece_end ? run_end : piece_end;

		plan->parts[plan->nr_parts++] = (struct remap_part){
			from, to - from, piece->offset + (from - piece->address)};
		plan->stored += to - from;
	}
}

static int by_offset(const void *a, const void *b)
{
	const struct remap_part *left = a, *right = b;

	return (left->offset > right->offset) - (left->offset < right->offset);
}

static int make_parts(struct remap_plan *plan)
{
	size_t run = 0;

	plan->nr_parts = plan->stored = 0;
	plan->parts = calloc(plan->nr_runs + plan->nr_pieces + 1, sizeof(*plan->parts));
	if (!plan->parts)
		return -ENOMEM;
	for (size_t i = 0; i < plan->nr_pieces; i++) {
		while (run < plan->nr_runs &&
		       plan->runs[run].address + plan->runs[run].size <= plan->pieces[i].address)
			run++;
		add_parts(plan, &plan->pieces[i], plan->runs + run);
	}
	if (plan->nr_parts)
		qsort(plan->parts, plan->nr_parts, sizeof(*plan->parts), by_offset);
	return 0;
}

int ccr__remap_lay_out(struct remap_plan *plan, const struct remap_plan *early)
{
	struct layout l = {plan, early && early->nr_pieces <= MAX_EARLY ? early : NULL};
	/* Each end of an early piece may cut a span. */
	const size_t cuts = l.early ? 2 * l.early->nr_pieces : 0;

	plan->pieces = calloc(plan->nr_runs + cuts + 1, sizeof(*plan->pieces));
	if (!plan->pieces)
		return -ENOMEM;
	for (uint64_t gap = MIN_GAP; !gap_is_wide_enough(&l, gap); gap *= 4)
		;
	if (plan->file_size / REMAP_CHUNK >= CCR_PAGES_MAX_CHUNKS)
		return -E2BIG;
	return make_parts(plan);
}

int ccr__remap_expect(struct remap_plan *early, const struct remap_range *range, uint64_t *offset)
{
	const size_t at = find_piece(early, range->start);
	struct remap_piece *bigger =
		realloc(early->pieces, (early->nr_pieces + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	early->pieces = bigger;
	memmove(bigger + at + 1, bigger + at, (early->nr_pieces - at) * sizeof(*bigger));
	*offset = take_place(early, range->start, range->end);
	bigger[at] = (struct remap_piece){range->start, range->end - range->start, *offset, NULL};
	early->nr_pieces++;
	return 0;
}
