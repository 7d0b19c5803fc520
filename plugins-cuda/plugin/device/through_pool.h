// SPDX-License-Identifier: GPL-2.0-only
/* What criu and its watcher both ask the pool. Each: 0 or -errno. */
#ifndef CCR_PLUGIN_THROUGH_POOL_H
#define CCR_PLUGIN_THROUGH_POOL_H

#include "plugin/task/state.h"

/* The pool begins to load all images of the directory. */
int ccr__memory_request_load(void);
/* The task gets a door of its own; its memory comes when its service thread was told. */
int ccr__memory_request_attach(struct task *task);
/* Waits until the pool is ready for what was requested, and notes the operation. */
int ccr__memory_ready(struct task *task);
/* Tells the service thread where the pool listens. */
int ccr__memory_signal(const struct task *task);

#endif
