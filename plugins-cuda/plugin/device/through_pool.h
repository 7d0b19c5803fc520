// SPDX-License-Identifier: GPL-2.0-only
/* Requests to the pool that criu and its watcher both make. Each returns 0 or -errno. */
#ifndef CCR_PLUGIN_THROUGH_POOL_H
#define CCR_PLUGIN_THROUGH_POOL_H

#include "plugin/task/state.h"

/* Asks the pool to load all images of the directory. */
int ccr__memory_request_load(void);
/* Asks the pool for a socket for the task, which attaches its memory once it is signaled. */
int ccr__memory_request_attach(struct task *task);
/* Waits until the pool is ready for the request, and stores the operation's number in the task. */
int ccr__memory_ready(struct task *task);
/* Tells the service thread on which socket the pool listens. */
int ccr__memory_signal(const struct task *task);

#endif
