// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_POPULATE_H
#define CCR_PLUGIN_POPULATE_H

#include "plugin/task/state.h"
#include "plugin/host/remap/remap.h"

/*
 * Makes the driver's checkpoint of a stopped task whose restore thread runs, and
 * populates the memory that the driver maps, which is what is not in `before`.
 * Returns 0 with the driver's result in `result`; -ENOTSUP when the driver was
 * not called, and the caller can call it; or -errno: the dump must fail.
 */
int ccr__populate_checkpoint(const struct task *task, const struct remap_ranges *before,
			     CUresult *result);

#endif
