// SPDX-License-Identifier: GPL-2.0-only
#include "plugin/host/early.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "plugin/task/state.h"

#define POLL_MS 5

enum phase {
	CHOOSING, /* a thread reads the mappings */
	CHOSEN,
	COPYING, /* threads copy what was chosen */
	ENDED,	 /* no thread works on it */
};

struct early {
	struct work choose;
	pid_t pid;
	struct remap_wishes wishes;
	struct remap_plan plan;
	struct remap_copy *copy; /* since COPYING */
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

void ccr__early_advance(struct early *early, int fd)
{
	if (early->phase == CHOOSING)
		end_choosing(early);
	if (early->phase != CHOSEN)
		return;
	early->phase = ENDED;
	if (ftruncate(fd, early->plan.file_size) ||
	    ccr__remap_copy_early(&early->copy, &early->plan, early->pid, fd))
		return;
	early->phase = COPYING;
	ccr__work_add(ccr__remap_copy_work(early->copy));
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
		ccr__remap_copy_stop(copy);
		wait_for(ccr__remap_copy_work(copy));
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
