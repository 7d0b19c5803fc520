/* SPDX-License-Identifier: MIT */
/* The cgroups of a process, version 2 and version 1: is it frozen, and how much memory do its
 * limits leave? */
#ifndef CCR_CGROUP_H
#define CCR_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/machine/text.h"

/* Paths below the mounts; "": none. */
struct ccr_cgroups {
	char unified[PATH_MAX / 4]; /* version 2, */
	char memory[PATH_MAX / 4];  /* and the controllers of version 1 */
	char freezer[PATH_MAX / 4];
};

/* `root` is a descriptor of the root directory. What cannot be read is none. */
void ccr_cgroups_of(struct ccr_cgroups *cgroups, int root, pid_t pid, struct text *text);
/* The one whose limits of memory count; "": none. */
const char *ccr_cgroups_memory(const struct ccr_cgroups *cgroups);
bool ccr_cgroups_frozen(const struct ccr_cgroups *cgroups, int root, struct text *text);
/*
 * The bytes that the memory limits of its cgroups leave; UINT64_MAX without a limit. Page cache
 * that the kernel can reclaim counts as free. `where` gets the path of the tightest cgroup; it
 * does not change without a limit.
 */
uint64_t ccr_cgroups_room(const struct ccr_cgroups *cgroups, int root, struct text *text,
			  char *where, size_t size);

#endif
