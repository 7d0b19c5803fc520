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
	int done[2]; /* a pipe whose write end is closed when the call has returned */
};

/* The driver's Checkpoint, as a function for ccr__driver_call. */
CUresult ccr__driver_checkpoint(pid_t pid, void *unused);
/* Starts the call in a separate thread. Returns 0 or -errno. */
int ccr__driver_call_begin(struct driver_call *call);
/* Waits up to `timeout_ms` for the call's end; resumes the restore thread after a signal. */
bool ccr__driver_call_is_done(const struct driver_call *call, int timeout_ms);
/* Waits until the call has returned; the driver's result is then in `result`. */
void ccr__driver_call_end(struct driver_call *call);
/* Makes the call and waits for its end: in this thread if no restore thread was resumed. */
CUresult ccr__driver_call(CUresult (*function)(pid_t pid, void *argument), pid_t pid,
			  void *argument);

#endif
