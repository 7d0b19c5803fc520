// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_SERVICE_THREAD_H
#define CCR_PLUGIN_SERVICE_THREAD_H

#include <stdint.h>
#include <sys/types.h>

/* Finds the service thread of `pid` (host view). Returns its tid, 0 if there is none, or -errno. */
pid_t ccr__service_thread(pid_t pid);

/* Signals the thread about an operation. The signal stays pending while the task is stopped.
 * Returns 0 or -errno. */
int ccr__service_signal_send(pid_t pid, pid_t service_tid, uint32_t operation);

/* Returns the pid of `pid` in its own namespace, which names its images, or -errno. */
pid_t ccr__namespace_pid(pid_t pid);

#endif
