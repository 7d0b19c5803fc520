// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory that does not go through the driver's checkpoint: the seam
 * between the variants. `stock` links memory_none.c, `parallel` and `full`
 * link memory_pool.c. A task without the interceptor is left to the driver.
 */
#ifndef CCR_PLUGIN_MEMORY_H
#define CCR_PLUGIN_MEMORY_H

#include "plugin/plugin.h"

/*
 * Dump, task running and not yet locked: its device memory is saved to the GPU
 * image and given up. 0, also when the task has no interceptor; -errno: the
 * task has all of its memory and runs.
 */
int ccr__memory_evict(struct task *task);

/*
 * Dump, driver state raised again: asks for the memory of an evicted task to
 * be given back, which happens as soon as the task runs. Also for the watcher.
 */
int ccr__memory_roll_back(const struct task *task);

/* Watcher: the task is dead, nothing has to be kept for it. */
void ccr__memory_commit(const struct task *task);

/* Restore, at init: loading begins while CRIU works. 0, also without GPU images. */
int ccr__memory_load_begin(void);

/*
 * Restore, device state is back and the task still stopped: lets it fetch its
 * memory when it runs. 0, also when the task has none outside the driver.
 */
int ccr__memory_attach(struct task *task);

/* The connection to the pool, -1 without one; the watcher is given a copy of it. */
int ccr__memory_fd(void);
void ccr__memory_set_fd(int fd);

/* True when the images directory holds a GPU image (cuda-<pid>.img). */
bool ccr__gpu_images_in(int dir_fd);

#endif
