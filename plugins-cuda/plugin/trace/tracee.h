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
 * Sends a thread a signal that was kept from it while it ran for us. A stop that SIGCONT has ended
 * since is not sent: it would come after the SIGCONT, and nobody would end it.
 */
void ccr__send_kept(pid_t tid, int signal);

#endif
