// SPDX-License-Identifier: GPL-2.0-only
/* Shared anonymous memory that is shared with nobody: what pinned host memory is. */
#ifndef CCR_PLUGIN_SHARED_H
#define CCR_PLUGIN_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc/PID/maps calls it. */
#define CCR_SHARED_ANONYMOUS "/dev/zero (deleted)"

struct mapping;

/* Every mapping of this kind that any process has: inodes, sorted. */
struct shared_memory {
	uint64_t *inodes; /* to be freed */
	size_t nr, room;
};

/* 0 or -errno. */
int ccr__shared_find_all(struct shared_memory *shared);

/*
 * Calls `each` for every piece of the mapping that holds something, by address,
 * until it returns not 0, which is handed on. -ENOTSUP: there is more of the
 * memory than this mapping. -errno.
 */
int ccr__shared_for_each(const struct shared_memory *shared, pid_t pid, const struct mapping *m,
			 int (*each)(uint64_t start, uint64_t end, void *data), void *data);

#endif
