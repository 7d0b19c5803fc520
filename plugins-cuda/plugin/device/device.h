// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory that bypasses the driver's checkpoint. This header separates
 * the variants: `stock` and `remap` link none.c, `parallel` and `full` link
 * through_pool.c. The driver saves the memory of a task without the interceptor.
 */
#ifndef CCR_PLUGIN_DEVICE_H
#define CCR_PLUGIN_DEVICE_H

#include "plugin/watch/watcher_link.h"

/* Dump, before anything: finds the interceptor, and whether ccr__memory_evict moves memory. Returns
 * 1, 0 or -errno. */
int ccr__memory_is_moved(struct task *task);

/*
 * Dump, before the first ccr__memory_evict: if the pool moves the memory of two tasks or more,
 * which all run, it closes the gates of all, so that no work of one waits for work of another.
 * Returns 0, also if that cannot be done and all gates are open, or -errno: the work of some
 * does not end.
 */
int ccr__memory_quiesce(struct task *const *tasks, size_t nr);

/*
 * Dump, before the task is locked and while it runs: hands its device memory
 * over to the pool, which then starts to copy it to the GPU image. Returns 0,
 * also when the task has no interceptor; 1 when the task has kept its memory and
 * this variant leaves it to the driver; or -errno. On failure the dump must
 * fail; ccr__memory_roll_back finds out whether the task still has its memory.
 */
int ccr__memory_evict(struct task *task);

/* Dump, when the driver has locked the task: one of a group that has kept its memory waited behind
 * its gate until now. Returns 0 or -errno. */
int ccr__memory_locked(struct task *task);

/* Dump, before criu writes its images: waits until that copy is complete. Returns 0 or -errno. */
int ccr__memory_saved(struct task *task);

/*
 * Dump, after the driver state was restored: asks the pool to return the memory
 * of an evicted task. The task receives it as soon as it runs. Called by criu
 * and by the watcher. Returns 0 or -errno.
 */
int ccr__memory_roll_back(struct task *task);

/* Watcher: the task is dead; the pool no longer has to keep its memory. */
void ccr__memory_commit(const struct task *task);

/* Restore, at init: starts loading while CRIU works. Returns 0 (also without images) or -errno. */
int ccr__memory_load_begin(void);

/*
 * Restore, after the driver restored the task, which is still stopped: prepares
 * it to attach its memory when it runs. Returns 0, also when all of its memory
 * is the driver's, or -errno.
 */
int ccr__memory_attach(struct task *task);

/*
 * Restore, after each attach: once every GPU image has its task, waits until all of
 * them are on their devices, unless CRIU_CUDA_WAIT is 0. CRIU itself fails if it learns
 * here that one cannot be loaded. Returns 0, or -errno with the task and the reason.
 */
int ccr__memory_loaded(const struct task **failed, const char **reason);

/*
 * The same for memory that the interceptor does not move, where the driver has custom
 * storage: the pool makes the driver's calls. Dump, before the task is locked: starts
 * the pool, if the task is one of these. Returns 0 or -errno.
 */
int ccr__storage_begin(struct task *task);
/* Whether it is used for memory that the interceptor does not move. */
bool ccr__storage_is_used(void);
/*
 * Dump, instead of the driver's Checkpoint: returns 0; 1 when the task is still locked and
 * its memory is left to the driver; or -errno. The restore thread must be able to run.
 */
int ccr__storage_checkpoint(struct task *task);
/* Undo: the task is locked, or as it was, unless it was not checkpointed in this way. On failure
 * `*call` has the reason. */
CUresult ccr__storage_undo(const struct task *task, const char **call);
/*
 * Restore: begins the same for a process from an image with such memory; `*restore` is NULL for any
 * other. Several may be in progress. Returns 0 or -errno.
 */
struct storage_restore;
int ccr__storage_restore_begin(struct task *task, struct storage_restore **restore);
/* Does what can be done without waiting. Returns whether it has ended. */
bool ccr__storage_restore_is_done(struct storage_restore *restore);
/* Then: returns its result, and frees it. On failure `*call` has the reason. */
CUresult ccr__storage_restore_end(struct storage_restore *restore, const char **call);
/* The task was killed: frees it. NULL is fine. */
void ccr__storage_restore_forget(struct storage_restore *restore);
/* Is readable when one may have ended. */
int ccr__storage_fd(void);

/* True once this run is connected to a pool. */
bool ccr__memory_has_pool(void);

/* ---- what the watcher needs ---- */

/* Pool connection, receiving end of the descriptor backup, images directory; -1: none. */
/* In criu: the descriptors to pass to the watcher. They stay open until ccr__memory_fds_passed. */
void ccr__memory_fds(int fds[WATCHER_FDS]);
void ccr__memory_fds_passed(void);
/* In the watcher, before that: criu's own descriptors are closed here. */
void ccr__memory_forget_fds(void);
/* In the watcher: takes ownership of the descriptors that are not -1. */
void ccr__memory_keep_fds(const int fds[WATCHER_FDS]);
/* A descriptor to poll together with criu's, or -1, and what to call when it is readable. */
int ccr__memory_poll_fd(void);
void ccr__memory_poll(void);
/* In a watcher that took over: an answer of the pool may have been lost with the first one. */
void ccr__memory_ask_again(struct task *const *tasks, size_t nr);
/*
 * After criu has ended: waits until each awaited task has its memory. If the
 * pool dies, a helper replaces it; a task that cannot get its memory is killed.
 * Writes the outcomes to the status file, then waits until the pool has
 * finished its work.
 */
void ccr__memory_finish(int stage, struct task *const *tasks, size_t nr);

#endif
