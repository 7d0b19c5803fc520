// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_POPULATE_H
#define CCR_PLUGIN_POPULATE_H

#include "plugin/task/state.h"
#include "plugin/host/remap/remap.h"

/*
 * Before the driver's checkpoint of a stopped task: chooses threads of it. Changes nothing in the
 * task, and does nothing where that is not possible. What the driver maps is what is not in
 * `before`.
 */
void ccr__populate_begin(const struct task *task, const struct remap_ranges *before);
/* While the restore threads run: populates what the drivers of all tasks have mapped, a piece with
 * each thread. Returns whether there was something. */
bool ccr__populate_some(void);
/* When the driver has returned: returns the threads. Returns 0, also when ccr__populate_begin was
 * not called, or -errno: the dump must fail. */
int ccr__populate_end(pid_t pid);

#endif
