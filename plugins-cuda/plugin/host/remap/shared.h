// SPDX-License-Identifier: GPL-2.0-only
/* Shared anonymous memory that only one process maps, such as pinned host memory. */
#ifndef CCR_PLUGIN_SHARED_H
#define CCR_PLUGIN_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Its name in /proc/PID/maps. */
#define CCR_SHARED_ANONYMOUS "/dev/zero (deleted)"

struct mapping;

/* Every such mapping of all processes: inodes, sorted. */
struct shared_memory {
	uint64_t *inodes; /* the caller frees it */
	size_t nr, room;
};

/* Fills `shared` from all processes. Returns 0 or -errno. */
int ccr__shared_find_all(struct shared_memory *shared);

/*
 * Calls `each` for every piece of the mapping that holds data, in order of
 * addresses. Stops and returns the result when `each` does not return 0. Returns
 * -ENOTSUP when the memory is also mapped elsewhere, or another -errno.
 */
int ccr__shared_for_each(const struct shared_memory *shared, pid_t pid, const struct mapping *m,
			 int (*each)(uint64_t start, uint64_t end, void *data), void *data);

#endif
