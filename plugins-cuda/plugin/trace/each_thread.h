// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_EACH_THREAD_H
#define CCR_PLUGIN_EACH_THREAD_H

#include <sys/types.h>

/*
 * Calls `act` for each thread of a process, until one call returns other than 0. Returns what the
 * last call returned, or -errno when the threads cannot be listed: -ENOENT when there is no such
 * process.
 */
int ccr__each_thread(pid_t pid, int (*act)(pid_t tid, void *data), void *data);

#endif
