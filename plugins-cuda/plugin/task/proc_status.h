// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_PROC_STATUS_H
#define CCR_PLUGIN_PROC_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One field of /proc/PID/status as text, from after its colon; 0 or -errno, -ENOENT when it has
 * none. */
int ccr__proc_status(pid_t pid, const char *field, char *value, size_t size);

/* True once a SIGKILL is on its way, and when it is gone: nothing more is to be expected of it. */
bool ccr__is_dying(pid_t pid);

#endif
