// SPDX-License-Identifier: GPL-2.0-only
/* The driver calls on one CUDA process, and the list of such processes. */
#ifndef CCR_PLUGIN_TASK_H
#define CCR_PLUGIN_TASK_H

#include "plugin/task/state.h"

const char *ccr__state_name(CUprocessState state);
/* Restore thread of `pid`; 0, or -ENOTSUP when it is no CUDA process, or -EIO. */
int ccr__task_detect(pid_t pid, pid_t *restore_tid);
/* A new entry in ccr__plugin.tasks, NULL without memory. */
struct task *ccr__task_add(pid_t pid, pid_t restore_tid, CUprocessState prior);
struct task *ccr__task_find(pid_t pid);
void ccr__task_free_all(void);
/* One call into the driver, timed, logged and recorded. */
CUresult ccr__task_lock(const struct task *task);
/* The same for what makes the driver's checkpoint of the task. */
CUresult ccr__task_checkpoint(const struct task *task,
			      CUresult (*checkpoint)(const struct task *task));
/*
 * Brings the process to `target` (running, locked or checkpointed) from
 * whatever the driver says it is in now, only ever by Restore and Unlock. The
 * restore thread must be able to run. On failure `*failed` names the call.
 */
CUresult ccr__task_raise(const struct task *task, CUprocessState target, const char **failed);
/* One «task» line of the status file. `reason` may be NULL. */
void ccr__task_outcome(const struct task *task, const char *outcome, const char *reason);

#endif
