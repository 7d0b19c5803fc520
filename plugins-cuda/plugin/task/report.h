// SPDX-License-Identifier: GPL-2.0-only
/*
 * What `criu-cuda status` shows of a run that an engine has started: who, what and why. The engine
 * reads none of it, so a failure also goes to the system's log.
 */
#ifndef CCR_PLUGIN_REPORT_H
#define CCR_PLUGIN_REPORT_H

#include <sys/types.h>

/* Writes when the run began, for which directory, and the command that has started criu. */
void ccr__report_origin(void);
/* Writes the name and the cgroup of a process, which name its container. */
void ccr__report_process(pid_t pid);
/* A task has failed: tells the system's log. */
void ccr__report_task_failure(pid_t pid, const char *reason);
/*
 * The run has failed; `reason` is the first error, or empty if CRIU itself has failed. Makes a
 * status file if there is none yet. The system's log is told if no task has failed before.
 */
void ccr__report_failure(int stage, const char *reason);

#endif
