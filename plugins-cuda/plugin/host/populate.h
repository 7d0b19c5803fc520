// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_POPULATE_H
#define CCR_PLUGIN_POPULATE_H

#include "plugin/task/state.h"
#include "plugin/host/remap/remap.h"

/*
 * The driver's checkpoint of a stopped task whose restore thread runs, with the
 * memory populated that it maps beyond `before`. 0 with the driver's answer;
 * -ENOTSUP: the driver was not called, and can be; -errno: the dump must fail.
 */
int ccr__populate_checkpoint(const struct task *task, const struct remap_ranges *before,
			     CUresult *result);

#endif
