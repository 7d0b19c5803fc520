// SPDX-License-Identifier: GPL-2.0-only
/* Requests to the pool that criu and its watcher both make. Functions return 0 or -errno. */
#ifndef CCR_PLUGIN_THROUGH_POOL_H
#define CCR_PLUGIN_THROUGH_POOL_H

#include "plugin/task/state.h"

/* Asks the pool to load all images of the directory. */
int ccr__memory_request_load(void);
/* Asks the pool to give the task its memory as soon as it runs; OP_READY follows. */
int ccr__memory_request_attach(struct task *task);
/*
 * The pool died: a helper replaces it. At a restore, it also loads the images again, for the tasks
 * that wait for their memory.
 */
int ccr__memory_replace_pool(const char *why);
/* The number of the next operation, for which the watcher knows the task before it begins. */
uint32_t ccr__memory_next_operation(void);
/* Before the first request of a dump: what the watcher and the pool need for it. */
int ccr__memory_begin_dump(void);
/* Waits for OP_READY. The pool may have to start first: cuInit and a context on a cold GPU. */
int ccr__memory_wait_ready(const struct task *task);

/* Whether a task has given its memory away, and waits behind its gate until it gets it back. */
bool ccr__memory_is_gated(pid_t service_tid);
/* What the last failure was, as text. */
const char *ccr__memory_failure(int ret);

#endif
