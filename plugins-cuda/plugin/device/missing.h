// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_MISSING_H
#define CCR_PLUGIN_MISSING_H

#include <sys/types.h>

/*
 * A process has no interceptor, so its device memory goes through the driver: logs a warning with
 * the remedy, and returns the reason for the status file.
 */
const char *ccr__why_no_interceptor(pid_t pid);

#endif
