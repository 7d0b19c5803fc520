// SPDX-License-Identifier: GPL-2.0-only
/* Shared anonymous memory that only one process maps, such as pinned host memory. */
#ifndef CCR_PLUGIN_SHARED_H
#define CCR_PLUGIN_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mapping;

/* Whether this is its name in /proc/PID/maps; CRIU restores it with another name. */
bool ccr__is_shared_anonymous(const char *path);

/*
 * Calls `each` for every piece of the mapping that holds data, in order of
 * addresses. Stops and returns the result when `each` does not return 0. Returns
 * -ENOTSUP when the memory is also mapped elsewhere, where that matters (`is_own`), or another
 * -errno. With `is_own`, only one thread may call it.
 */
int ccr__shared_for_each(pid_t pid, const struct mapping *m, bool is_own,
			 int (*each)(uint64_t start, uint64_t end, void *data), void *data);

#endif
