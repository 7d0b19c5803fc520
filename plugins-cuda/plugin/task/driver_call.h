// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver calls about another process. A call may never return, and some wait for
 * the restore thread, which only its tracer can resume after a signal. So a
 * background process makes the calls, one at a time, or several processes if calls
 * are to be made at the same time; the caller watches the
 * restore thread, and abandons a call at its deadline.
 */
#ifndef CCR_PLUGIN_DRIVER_CALL_H
#define CCR_PLUGIN_DRIVER_CALL_H

#include "plugin/task/state.h"

/* The driver has not answered, because the process that asked it has died or cannot be started. It
 * must not be taken for an answer such as CUDA_ERROR_OPERATING_SYSTEM, "no such process". */
#define CCR_DRIVER_CALL_LOST CUDA_ERROR_UNKNOWN

struct driver_worker;

struct driver_call {
	CUresult (*function)(pid_t pid, int *answer); /* called in the background process */
	pid_t pid;
	struct driver_worker *worker; /* NULL: the process that makes all other calls */
	int timeout_ms;		      /* 0: CRIU_CUDA_STEP_TIMEOUT_MS */
	int answer;		      /* what the function wrote */
	CUresult result; /* CUDA_ERROR_TIMEOUT: it did not return in time and was abandoned */
};

/* The driver's Checkpoint, as a function for ccr__driver_call. */
CUresult ccr__driver_checkpoint(pid_t pid, int *unused);
/* Starts the background process, if there is none; calls do it as well. Returns 0 or -errno. */
int ccr__driver_call_start(void);
/* In a fork of criu, whose descriptors are closed: the background process is not this one's. */
void ccr__driver_call_forget(void);
/* Another such process. Returns NULL, after logging why, if there can be none. */
struct driver_worker *ccr__driver_worker_new(void);
/* Ends it, and abandons the call that it makes. */
void ccr__driver_worker_end(struct driver_worker *worker);
/* Abandons the call of the common process: its target was killed. */
void ccr__driver_call_abandon_common(void);
/* Starts the call. Returns 0 or -errno. */
int ccr__driver_call_begin(struct driver_call *call);
/* Waits up to `timeout_ms` for the call's end; resumes the restore thread after a signal. */
bool ccr__driver_call_is_done(const struct driver_call *call, int timeout_ms);
/* A descriptor that is readable when the call may be done, or -1: it is. */
int ccr__driver_call_fd(const struct driver_call *call);
/* Waits until the call has returned or was abandoned, and fills in `result` and `answer`. */
void ccr__driver_call_end(struct driver_call *call);
/* Makes the call and waits for its end. `answer` may be NULL. */
CUresult ccr__driver_call(CUresult (*function)(pid_t pid, int *answer), pid_t pid, int *answer);
/* A pidfd of the background process, or -1. It ends after its caller and the call in progress.
 * NULL: of the common one. */
int ccr__driver_call_pidfd(const struct driver_worker *worker);

#define DRIVER_MAX_SEATS 16
/* Who makes the driver calls of one of several tasks. */
struct driver_seat {
	struct driver_worker *worker; /* NULL: the common one */
	bool is_taken;
};
/* Starts processes for as many tasks, up to DRIVER_MAX_SEATS; fewer are enough. To be called before
 * there are other threads, because they are forks. */
void ccr__driver_seats_open(size_t nr);
/* Returns NULL if all are taken. Set is_taken to false to give it back. */
struct driver_seat *ccr__driver_seat_take(void);
/* Ends the processes, and abandons what they do. */
void ccr__driver_seats_close(void);

#endif
