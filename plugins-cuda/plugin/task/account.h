// SPDX-License-Identifier: GPL-2.0-only
/* What the memory of a task went through, for the status file. */
#ifndef CCR_PLUGIN_ACCOUNT_H
#define CCR_PLUGIN_ACCOUNT_H

#include "plugin/task/state.h"

/*
 * Bytes of private mappings that can be written to; 0 if the task has ended. The driver adds what
 * it saves at its Checkpoint, and removes it at its Restore.
 */
uint64_t ccr__account_private(pid_t pid);
/* Bytes of memory that the task has and no file backs, about; 0 if the task has ended. */
uint64_t ccr__account_resident(pid_t pid);

/* Writes one "memory" line about the task to the status file. */
void ccr__account_report(const struct task *task);

#endif
