// SPDX-License-Identifier: GPL-2.0-only
/* The driver calls on one CUDA process, and the list of such processes. */
#ifndef CCR_PLUGIN_TASK_H
#define CCR_PLUGIN_TASK_H

#include "plugin/task/state.h"

const char *ccr__state_name(CUprocessState state);
/* Finds the restore thread of `pid`. Returns 0, -ENOTSUP when it is not a CUDA process, or -EIO. */
int ccr__task_detect(pid_t pid, pid_t *restore_tid);
/* Adds an entry to ccr__plugin.tasks. Returns NULL when out of memory. */
struct task *ccr__task_add(pid_t pid, pid_t restore_tid, CUprocessState prior);
/* The same for a process without CUDA. */
struct task *ccr__task_add_plain(pid_t pid);
struct task *ccr__task_find(pid_t pid);
void ccr__task_free_all(void);
/* Asks the driver for the state of a process; logs a failure. */
CUresult ccr__task_state(pid_t pid, CUprocessState *state);
/* Makes one driver call, measures it, and writes it to the log and the status file. */
CUresult ccr__task_lock(const struct task *task);
/* Whether the driver locks the process at all: locks and unlocks it, and does not wait for its GPU
 * work. Not in the log or the status file. */
CUresult ccr__task_try_lock(const struct task *task);
/* An unlock that may be refused, which is not recorded. */
void ccr__task_unlock(pid_t pid);
/* Writes a driver call and its result to the log and the status file. Returns the result. */
CUresult ccr__task_note(const struct task *task, const char *step, CUresult result, double ms);
/* The same of a call that the pool made; `reason`: why it failed. */
CUresult ccr__task_note_pools(const struct task *task, const char *step, CUresult result,
			      const char *reason, double ms);
/* The driver's GetState and Unlock, as functions for ccr__driver_call. */
CUresult ccr__driver_get_state(pid_t pid, int *state);
CUresult ccr__driver_unlock(pid_t pid, int *unused);
/* Writes one "task" line to the status file. `reason` may be NULL. */
void ccr__task_outcome(const struct task *task, const char *outcome, const char *reason);

#endif
