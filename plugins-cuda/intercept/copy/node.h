// SPDX-License-Identifier: MIT
/* Where copying threads run, and where their buffers are. */
#ifndef CCR_INTERCEPT_NODE_H
#define CCR_INTERCEPT_NODE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "intercept/core/real.h"

/* Where copying threads may run, and their niceness. */
struct ccr__scheduling {
	bool has_cpus; /* false: the mask is unknown; do not set it */
	cpu_set_t cpus;
	int nice;
};

struct ccr__node {
	int number; /* -1: there is only one, or it is unknown */
	cpu_set_t cpus;
};
/* Returns the memory node to which a device is attached. */
struct ccr__node ccr__node_of(CUdevice ordinal);
/* Parses a kernel list such as "0-3,8". Returns false, with an empty set, when it is not one. */
bool ccr__node_parse(const char *list, cpu_set_t *cpus);
/* Asks the kernel to allocate the range on the node; failure does not matter. */
void ccr__node_prefer(const struct ccr__node *node, void *memory, size_t bytes);
/* Returns the calling thread's scheduling, limited to the node's CPUs unless none would be left. */
struct ccr__scheduling ccr__scheduling_of_caller(const struct ccr__node *node);
/* Applies `wanted` to the calling thread where it differs from `had`, and updates `had`. */
void ccr__scheduling_apply(const struct ccr__scheduling *wanted, struct ccr__scheduling *had);

#endif
