// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/host/early.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugin/task/state.h"

#define POLL_MS	     5
#define MAX_EXPECTED 8
#define PIECE	     (4ull << 20)

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

enum phase {
	CHOOSING, /* a thread reads the mappings */
	CHOSEN,
	COPYING, /* threads copy what was chosen */
	ENDED,	 /* no thread works on it */
};

/* Memory that the driver will fill. */
struct expected {
	struct remap_range range;
	uint64_t offset;
	char *file; /* its part of the page file, mapped shared; NULL: it has none */
	const atomic_bool *is_stopped;
	struct work work; /* makes its pages */
};

struct early {
	struct work choose;
	pid_t pid;
	struct remap_wishes wishes;
	struct remap_plan plan;
	struct remap_copy *copy; /* since COPYING */
	struct expected expected[MAX_EXPECTED];
	size_t nr_expected, nr_placed;
	atomic_bool is_stopped;
	enum phase phase;
};

static int choose(void *data, size_t piece, char *buffer)
{
	struct early *early = data;

	return ccr__remap_choose(&early->plan, early->pid, &early->wishes);
}

struct early *ccr__early_begin(pid_t pid, const struct remap_ranges *before, uint64_t min_bytes)
{
	struct early *early = ccr__work_has_threads() ? calloc(1, sizeof(*early)) : NULL;

	if (!early)
		return NULL;
	early->pid = pid;
	early->wishes =
		(struct remap_wishes){.min_bytes = min_bytes, .before = before, .is_early = true};
	early->choose = (struct work){.run = choose, .data = early, .nr_pieces = 1};
	ccr__work_add(&early->choose);
	return early;
}

static void wait_for(struct work *work)
{
	struct pollfd poller = {.fd = ccr__work_fd(), .events = POLLIN};
	int unused;

	while (!ccr__work_is_done(work, &unused)) {
		poll(&poller, 1, POLL_MS);
		ccr__work_clear_fd();
	}
}

/* What cannot be chosen or copied now is copied later. */
static void end_choosing(struct early *early)
{
	int ret;

	if (ccr__work_is_done(&early->choose, &ret))
		early->phase = ret || !early->plan.nr_parts ? ENDED : CHOSEN;
}

/* ---- expected memory ---- */

/* Where it fails, the pages are made when they are copied. */
static int make_pages(void *data, size_t piece, char *buffer)
{
	const struct expected *e = data;
	const uint64_t size = e->range.end - e->range.start, at = piece * PIECE;

	if (!atomic_load(e->is_stopped))
		madvise(e->file + at, size - at < PIECE ? size - at : PIECE, MADV_POPULATE_WRITE);
	return 0;
}

/* Threads that copy read nothing of the plan that is changed here. */
static void place(struct early *early, struct expected *e, int fd)
{
	const uint64_t size = e->range.end - e->range.start;

	e->is_stopped = &early->is_stopped;
	if (ccr__remap_expect(&early->plan, &e->range, &e->offset) ||
	    ftruncate(fd, early->plan.file_size))
		return;
	e->file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, e->offset);
	if (e->file == MAP_FAILED) {
		e->file = NULL;
		return;
	}
	madvise(e->file, size, MADV_HUGEPAGE);
	e->work = (struct work){
		.run = make_pages, .data = e, .nr_pieces = (size + PIECE - 1) / PIECE};
	ccr__work_add(&e->work);
}

void ccr__early_expect(struct early *early, const struct remap_range *range)
{
	if (early->nr_expected < MAX_EXPECTED)
		early->expected[early->nr_expected++].range = *range;
}

/* No thread reads the parts any more. Their pages are in the file, as if they had been copied. */
static void end_expected(struct early *early)
{
	struct remap_plan *plan = &early->plan;
	struct remap_part *parts =
		realloc(plan->parts, (plan->nr_parts + early->nr_placed) * sizeof(*parts));

	plan->parts = parts ? parts : plan->parts;
	for (size_t i = 0; i < early->nr_placed; i++) {
		const struct expected *e = &early->expected[i];
		const uint64_t size = e->range.end - e->range.start;

		if (!e->file)
			continue;
		wait_for(&early->expected[i].work);
		munmap(e->file, size);
		if (parts)
			parts[plan->nr_parts++] =
				(struct remap_part){e->range.start, size, e->offset};
	}
}

/* ---- all of it ---- */

static void begin_to_copy(struct early *early, int fd)
{
	early->phase = ENDED;
	if (ftruncate(fd, early->plan.file_size) ||
	    ccr__remap_copy_early(&early->copy, &early->plan, early->pid, fd))
		return;
	early->phase = COPYING;
	ccr__work_add(ccr__remap_copy_work(early->copy));
}

void ccr__early_advance(struct early *early, int fd)
{
	if (early->phase == CHOOSING)
		end_choosing(early);
	if (early->phase == CHOSEN)
		begin_to_copy(early, fd);
	while (early->phase == COPYING && early->nr_placed < early->nr_expected)
		place(early, &early->expected[early->nr_placed++], fd);
}

const struct remap_plan *ccr__early_plan(struct early *early)
{
	if (early->phase == CHOOSING) {
		wait_for(&early->choose);
		early->phase = ENDED;
	}
	return early->copy ? &early->plan : NULL;
}

struct remap_copy *ccr__early_end(struct early *early)
{
	struct remap_copy *copy = early->copy;

	ccr__early_plan(early);
	if (early->phase == COPYING) {
		atomic_store(&early->is_stopped, true);
		ccr__remap_copy_stop(copy);
		wait_for(ccr__remap_copy_work(copy));
		end_expected(early);
		early->phase = ENDED;
	}
	early->copy = NULL;
	return copy;
}

void ccr__early_free(struct early *early)
{
	struct remap_copy *copy = early ? ccr__early_end(early) : NULL;

	if (copy)
		ccr__remap_copy_end(copy);
	if (early)
		ccr__remap_free(&early->plan);
	free(early);
}
