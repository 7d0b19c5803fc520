// SPDX-License-Identifier: GPL-2.0-only
/* For the watcher: holds a process that its guard has stopped, as criu does. */
#ifndef CCR_PLUGIN_SEIZE_H
#define CCR_PLUGIN_SEIZE_H

#include <stdbool.h>
#include <sys/types.h>

/* True if a thread of the process is stopped by SIGSTOP, or is about to be. */
bool ccr__is_stopping(pid_t pid);
/*
 * Waits until the process is stopped by SIGSTOP, and traces all its threads.
 * Returns 0 or -errno. Wait and steps are limited by CRIU_CUDA_STEP_TIMEOUT_MS.
 */
int ccr__seize(pid_t pid);
/* Ends the stop by the signal: each thread is then in a ptrace stop only, and in the program's
 * code, as criu leaves it. Returns 0 or -errno. */
int ccr__seize_continue(pid_t pid);
/* Resumes the process, without running a handler of SIGCONT. Returns 0 or -errno. */
int ccr__seize_end(pid_t pid);

#endif
