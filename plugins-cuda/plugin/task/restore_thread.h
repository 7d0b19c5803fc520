// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_RESTORE_THREAD_H
#define CCR_PLUGIN_RESTORE_THREAD_H

#include <stdbool.h>
#include <sys/types.h>

struct restore_thread {
	pid_t tid;
	bool resumed; /* false: it was not stopped by us, so it runs anyway */
	bool is_held; /* SIGSTOP waits for its turn */
	unsigned long long sigmask;
};
/* Lets the one thread run that the driver works in; 0 or -errno. */
int ccr__restore_thread_resume(struct restore_thread *thread, pid_t tid);
/* Stops it again as CRIU had it; 0 or -errno. */
int ccr__restore_thread_stop(struct restore_thread *thread);
/* One is let run by us. */
bool ccr__restore_thread_is_ours(void);
/* Lets it go on when a signal has stopped it. */
void ccr__restore_thread_tend(void);
/*
 * As CRIU has a stopped thread: a filter of the task is no obstacle, nor does it see what is run
 * there. That takes CAP_SYS_ADMIN; without it CRIU itself refuses tasks with a filter, and the
 * others need no such thing. 0, or -1 with errno.
 */
int ccr__set_ptrace_options(pid_t tid);
/*
 * While memory of the task is replaced: its other threads run as soon as criu
 * is gone, and what they write before the last replacement would be lost. 0 or -errno.
 */
int ccr__end_with_criu(pid_t tid, bool is_wanted);

#endif
