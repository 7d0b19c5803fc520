// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory that does not go through the driver's checkpoint: the seam
 * between the variants. `stock` links none.c, `parallel` and `full`
 * link through_pool.c. A task without the interceptor is left to the driver.
 */
#ifndef CCR_PLUGIN_DEVICE_H
#define CCR_PLUGIN_DEVICE_H

#include "plugin/task/watcher_link.h"

/*
 * Dump, task running and not yet locked: the pool takes its device memory over,
 * and copies it to the GPU image from here on. 0, also when the task has no
 * interceptor; -errno: the dump must fail, the task may or may not have its
 * memory and ccr__memory_roll_back knows.
 */
int ccr__memory_evict(struct task *task);

/* Dump, before criu writes anything that counts: waits for that copy. 0 or -errno. */
int ccr__memory_saved(struct task *task);

/*
 * Dump, driver state raised again: asks for the memory of an evicted task to
 * be given back, which happens as soon as the task runs. Also for the watcher.
 */
int ccr__memory_roll_back(struct task *task);

/* Watcher: the task is dead; nothing has to be kept for it. */
void ccr__memory_commit(const struct task *task);

/* Restore, at init: loading begins while CRIU works. 0, also without GPU images. */
int ccr__memory_load_begin(void);

/*
 * Restore, device state is back and the task still stopped: lets it fetch its
 * memory when it runs. 0, also when the task has none outside the driver.
 */
int ccr__memory_attach(struct task *task);

/* True once a pool works for this run. */
bool ccr__memory_has_pool(void);

/* ---- what the watcher has for it ---- */

/* Connection to the pool, the descriptor backup's reading end, images directory; -1: there is none.
 */
/* In criu: those to pass on, which stay open until they were. */
void ccr__memory_fds(int fds[WATCHER_FDS]);
void ccr__memory_fds_passed(void);
/* In the watcher: takes over those that are not -1. */
void ccr__memory_keep_fds(const int fds[WATCHER_FDS]);
/* Descriptor to poll together with criu's, or -1, and what to do when it is readable. */
int ccr__memory_poll_fd(void);
void ccr__memory_poll(void);
/*
 * Criu is gone. Waits until each of the tasks that is to take its memory has
 * done so, with another pool where this one dies; whoever cannot be helped is
 * killed. The outcomes go to the status file. Then waits for the pool to end
 * its part.
 */
void ccr__memory_finish(int stage, struct task *const *tasks, size_t nr);

/* True when the images directory holds a GPU image (cuda-<pid>.img). */
bool ccr__gpu_images_in(int dir_fd);

#endif
