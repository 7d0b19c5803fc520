// SPDX-License-Identifier: MIT
/* Where copying threads run and their buffers are. */
#ifndef CCR_INTERCEPT_NODE_H
#define CCR_INTERCEPT_NODE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "intercept/core/real.h"

/* Where copying threads may run, and how politely. */
struct ccr__manners {
	bool has_cpus; /* false: the mask could not be asked, leave it */
	cpu_set_t cpus;
	int nice;
};

struct ccr__node {
	int number; /* -1: one node only, or unknown */
	cpu_set_t cpus;
};
/* The memory node a device is attached to. */
struct ccr__node ccr__node_of(CUdevice ordinal);
/* A kernel list like "0-3,8"; false, and an empty set, when it is not one. */
bool ccr__node_parse(const char *list, cpu_set_t *cpus);
/* Asks the kernel to place the range there; what it answers does not matter. */
void ccr__node_prefer(const struct ccr__node *node, void *memory, size_t bytes);
/* The calling thread's, with only CPUs of the node where that leaves any. */
struct ccr__manners ccr__manners_of_caller(const struct ccr__node *node);
/* Gives them to the calling thread where they differ from what it `had`. */
void ccr__manners_adopt(const struct ccr__manners *wanted, struct ccr__manners *had);

#endif
