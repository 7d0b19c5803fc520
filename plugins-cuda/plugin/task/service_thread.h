// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_SERVICE_THREAD_H
#define CCR_PLUGIN_SERVICE_THREAD_H

#include <sys/types.h>

/* Finds the service thread of `pid` (host view). Returns its tid, 0 if there is none, or -errno. */
pid_t ccr__service_thread(pid_t pid);

#endif
