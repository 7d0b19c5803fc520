// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_SERVICE_SIGNAL_H
#define CCR_PLUGIN_SERVICE_SIGNAL_H

#include <stdint.h>
#include <sys/types.h>

/* The interceptor's service thread in `pid` (host view), 0 when there is none, or -errno. */
pid_t ccr__service_thread(pid_t pid);

/* Signals it for an operation; the signal stays pending while the task is stopped. 0 or -errno. */
int ccr__service_signal_send(pid_t pid, pid_t service_tid, uint32_t operation);

/* The pid of `pid` in its own namespace, which names its images; or -errno. */
pid_t ccr__namespace_pid(pid_t pid);

#endif
