// SPDX-License-Identifier: GPL-2.0-only
/*
 * Host memory that bypasses CRIU's page images. This header separates the
 * variants: `stock` links none.c, the others link save.c and restore.c.
 */
#ifndef CCR_PLUGIN_HOST_H
#define CCR_PLUGIN_HOST_H

#include <sys/types.h>

#include "plugin/host/remap/remap.h"
#include "plugin/task/state.h"

/*
 * Dump, every thread of the tree stopped, before the driver's checkpoint of this
 * task, between ccr__work_start and ccr__work_stop: notes what the task has mapped. What is added
 * later is the driver's. Threads begin to copy what it has. Returns 0 or -errno.
 */
int ccr__host_memory_before(pid_t pid);

/* Then, before the driver is called: threads of the task will populate what the driver maps. */
void ccr__host_memory_populate(const struct task *task);
/* When the driver has returned, in any case. Returns 0 or -errno: the dump must fail. */
int ccr__host_memory_populate_end(pid_t pid);

/*
 * Dump, every thread of the task stopped, after the driver's checkpoint of it,
 * between ccr__work_start and ccr__work_stop: makes threads store its large
 * anonymous memory in a page file. ccr__host_memory_advance does what can be done without waiting
 * for others: it populates memory for the driver, and empties what is stored; it returns whether it
 * is to be called again at once. ccr__host_memory_save_end, always to be called, waits until all
 * tasks are done; or, when something has `failed` (-errno), only for what has begun. What cannot be
 * stored is left to CRIU. Return 0, also when nothing was stored, or -errno: the dump must fail,
 * and an undo is necessary.
 */
int ccr__host_memory_save(pid_t pid);
/* Whether the memory of some others is to be emptied before ccr__host_memory_save is called again:
 * page files may be in memory, too. */
bool ccr__host_memory_is_busy(void);
/* The first failure of what was begun: -errno, so that nothing else has to begin; or 0. */
int ccr__host_memory_save_failure(void);
bool ccr__host_memory_advance(void);
int ccr__host_memory_save_end(int failed);
/* The driver has mapped this memory for its checkpoint of the task, and will fill it. */
void ccr__host_memory_expect(pid_t pid, const struct remap_range *range);

/* What a restore knows about the host memory of a task. */
struct host_bytes {
	uint64_t stored;  /* in its page file */
	uint64_t drivers; /* of them the driver's, which it reads in its restore */
};

/*
 * Restore, after CRIU's part, every thread of all tasks stopped, before the driver's restore. Reads
 * the manifest of a task; changes nothing. Returns 0, with NULL when the task has
 * none, or -errno: the tasks must not run.
 */
struct host_restore;
int ccr__host_memory_open(struct host_restore **host, pid_t pid, struct host_bytes *bytes);
/*
 * Then, between ccr__work_start and ccr__work_stop: makes threads fill its memory, in the order of
 * the calls. Once it is filled, ccr__host_memory_filled makes the task ready for the driver's
 * restore. Meanwhile what the driver will read from the page file is compared, and late memory is
 * still filled; when ccr__host_memory_failure is not 0, the driver may wait for it forever.
 * `driver_waits`: the driver's restore comes next; otherwise all of it comes after what drivers
 * wait for. Return 0 or -errno: the tasks must not run.
 */
int ccr__host_memory_fill(struct host_restore *host, bool driver_waits);
bool ccr__host_memory_is_filled(struct host_restore *host);
int ccr__host_memory_filled(struct host_restore *host);
int ccr__host_memory_failure(const struct host_restore *host);
/* Whether a part of it is late. */
bool ccr__host_memory_is_late(struct host_restore *host);
bool ccr__host_memory_is_complete(struct host_restore *host);
/*
 * At the end: when it is complete and the restore thread is stopped; or, with false, after
 * ccr__work_stop when the tasks are given up, and ccr__host_memory_forget when they are dead. Says
 * in the log what was not right. NULL is fine. Returns 0 or -errno.
 */
int ccr__host_memory_close(struct host_restore *host, bool is_complete);
void ccr__host_memory_forget(void);

/*
 * Undo of a dump, for criu and for the watcher, while every thread of the task is stopped by the
 * caller's ptrace: fills the memory that was emptied, as the manifest says. To be called while
 * host_state is HOST_EMPTYING or HOST_EMPTY; may be repeated until a thread of the task has run.
 * Returns 0 or -errno: the task must not run; kill it.
 */
int ccr__host_memory_undo(pid_t pid);

/* Removes the page file and the manifest that the task's record names, if they exist: the dump has
 * failed. Changes nothing in the task. */
void ccr__host_memory_discard(const struct task *task);

/* In criu: the undo of all tasks. A task that cannot be filled is killed. `is_dumped`: the dump has
 * succeeded, so its files stay. */
void ccr__host_memory_roll_back(bool is_dumped);

/*
 * Restore, at init: checks that the page files that the checkpoint needs are
 * there, and starts to read them ahead. Returns 0 or -errno.
 */
int ccr__host_memory_load_begin(void);

#endif
