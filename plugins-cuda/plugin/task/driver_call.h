// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_DRIVER_CALL_H
#define CCR_PLUGIN_DRIVER_CALL_H

#include <pthread.h>

#include "plugin/task/state.h"

struct driver_call {
	CUresult (*function)(pid_t pid, void *argument);
	pid_t pid;
	void *argument;
	CUresult result;
	pthread_t thread;
	int done[2]; /* a pipe whose writing end is closed when the call has returned */
};

/* The driver's Checkpoint, as a function to be called. */
CUresult ccr__driver_checkpoint(pid_t pid, void *unused);
/* Makes the call in a thread of its own; 0 or -errno. */
int ccr__driver_call_begin(struct driver_call *call);
/* Waits up to `timeout_ms`, and lets the restore thread go on when a signal stopped it. */
bool ccr__driver_call_is_done(const struct driver_call *call, int timeout_ms);
/* Until it has returned; its answer is in `result`. */
void ccr__driver_call_end(struct driver_call *call);
/* All of it; without a restore thread to look after, the call itself. */
CUresult ccr__driver_call(CUresult (*function)(pid_t pid, void *argument), pid_t pid,
			  void *argument);

#endif
