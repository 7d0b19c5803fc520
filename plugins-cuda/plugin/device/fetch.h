// SPDX-License-Identifier: GPL-2.0-only
/* Connects to the interceptor's service thread; see common/protocol/mailbox.h. */
#ifndef CCR_PLUGIN_FETCH_H
#define CCR_PLUGIN_FETCH_H

#include "plugin/task/state.h"

/*
 * Makes a connection to the service thread of the task, which may run or be
 * stopped by this process. The thread serves it when it runs and is idle. If it has
 * not taken its last connection yet, this returns another descriptor for that one.
 * While the task runs, this tries until the lock timeout. Returns a socket that the
 * caller closes, or -errno; logs why.
 */
int ccr__fetch(const struct task *task);
/* True while the thread has a connection that it has not taken yet. */
bool ccr__fetch_is_pending(const struct task *task);

#endif
