// SPDX-License-Identifier: GPL-2.0-only
/*
 * The copy of a task's host memory that begins before the driver's checkpoint. All threads of the
 * task but the driver's are stopped, so hardly any of it changes. But nothing depends on that:
 * what is copied here is compared later, when nothing of the task runs.
 */
#ifndef CCR_PLUGIN_EARLY_H
#define CCR_PLUGIN_EARLY_H

#include "plugin/host/remap/remap.h"

struct early;

/* Between ccr__work_start and ccr__work_stop: makes a thread choose the memory. `before`, which
 * must stay, is what the task has mapped. Returns NULL where it is not worth it, or out of memory.
 */
struct early *ccr__early_begin(pid_t pid, const struct remap_ranges *before, uint64_t min_bytes);
/* Makes threads copy it to the file once it is chosen. To be called now and then. */
void ccr__early_advance(struct early *early, int fd);
/* The driver will fill this memory: threads make the pages of the file for it. */
void ccr__early_expect(struct early *early, const struct remap_range *range);
/* What is in the file, in whole or in part, or NULL. To be called once the task is stopped; nothing
 * else will be added. */
const struct remap_plan *ccr__early_plan(struct early *early);
/* Ends the copy at once. Returns it for ccr__remap_copy_again, to be called before
 * ccr__early_free; NULL: nothing was copied. */
struct remap_copy *ccr__early_end(struct early *early);
/* NULL is fine. */
void ccr__early_free(struct early *early);

#endif
