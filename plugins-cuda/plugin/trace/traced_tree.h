// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_TRACED_TREE_H
#define CCR_PLUGIN_TRACED_TREE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Lists `pid`, then all its descendants that this process traces: in criu, what it has restored and
 * not let run yet. The caller frees the list. Returns NULL when out of memory.
 */
pid_t *ccr__traced_tree(pid_t pid, size_t *nr);

#endif
