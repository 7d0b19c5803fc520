// SPDX-License-Identifier: GPL-2.0-only
/*
 * Brings a process to `target` (running, locked or checkpointed) from the state
 * that the driver reports, with nothing but Restore and Unlock. The restore thread
 * must be able to run.
 */
#ifndef CCR_PLUGIN_RAISE_H
#define CCR_PLUGIN_RAISE_H

#include "plugin/task/driver_call.h"

struct raise {
	const struct task *task;
	CUprocessState target;
	struct driver_call call;
	const char *step; /* the one in progress, as in the status file; NULL: asks for the state */
	const char *name; /* of the driver's function that was called last */
	double start;	  /* of that call */
	CUresult result;  /* once it is done */
	bool is_done;
};

/* Begins. `worker` makes the calls; NULL: the common one. */
void ccr__raise_begin(struct raise *raise, const struct task *task, CUprocessState target,
		      struct driver_worker *worker);
/* Waits up to `timeout_ms` for the end of the call in progress, and begins the next one. Returns
 * whether all is done. */
bool ccr__raise_is_done(struct raise *raise, int timeout_ms);
/* All of it. On failure `*failed` names the call. */
CUresult ccr__task_raise(const struct task *task, CUprocessState target, const char **failed);

#endif
