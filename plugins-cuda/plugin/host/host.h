// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host memory that does not go through CRIU's page images: the seam between the
 * variants. `stock` links none.c, the others save.c and restore.c.
 */
#ifndef CCR_PLUGIN_HOST_H
#define CCR_PLUGIN_HOST_H

#include <sys/types.h>

#include "plugin/task/state.h"

/*
 * Dump, every thread of the tree stopped, before the driver's checkpoint of
 * this task: what it maps now is its own, what comes is the driver's.
 */
void ccr__host_memory_before(pid_t pid);

/* Then: the driver's checkpoint, with the restore thread running. What the driver answers. */
CUresult ccr__host_memory_checkpoint(const struct task *task);

/*
 * Dump, every thread of the tree stopped and the driver done with this task:
 * its large anonymous memory goes to a page file, which the task then maps in
 * its place. 0, also when the task is left as it is; -errno: the dump must
 * fail. The task's memory reads the same before and after, whatever happens.
 */
int ccr__host_memory_save(pid_t pid);

/*
 * Restore, CRIU's part is done and every thread of the task stopped, before the
 * driver's restore: its memory is anonymous again. 0, also when none of it was
 * saved, or -errno.
 */
int ccr__host_memory_put_back(pid_t pid);

/* The same for one task whose page files are known, logged and in the status file. */
struct ccr_pages;
int ccr__remap_put_back(pid_t pid, const struct ccr_pages *pages);

/* The same for all tasks of a dump that is rolled back. One that fails is sound: it keeps the
 * page file's mappings. */
void ccr__host_memory_roll_back(void);

/*
 * Restore, at init: sees that the page files the images name are there and
 * unchanged, and begins to read ahead. 0 or -errno.
 */
int ccr__host_memory_load_begin(void);

#endif
