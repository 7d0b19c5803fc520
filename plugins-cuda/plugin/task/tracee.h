// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_TRACEE_H
#define CCR_PLUGIN_TRACEE_H

#include <sys/types.h>

/*
 * Waits for the next stop of a thread that this process traces, as long as
 * CRIU_CUDA_STEP_TIMEOUT_MS allows. Returns 0 with the stop in `status`; -ESRCH when the thread has
 * ended, also as the leader of a process in which other threads still exist; -ETIMEDOUT; or
 * another -errno. Does not log.
 */
int ccr__wait_stop(pid_t tid, int *status);

/*
 * Collects the threads of a killed process, except for its leader, which is left to its parent.
 * A thread that is traced exists until its tracer has collected it, and the first process of a PID
 * namespace does not end before that: CRIU, which waits only for the leader, would wait forever.
 * Waits as long as CRIU_CUDA_STEP_TIMEOUT_MS allows.
 */
void ccr__collect_killed(pid_t pid);

#endif
