// SPDX-License-Identifier: GPL-2.0-only
#ifndef CCR_PLUGIN_RESTORE_THREAD_H
#define CCR_PLUGIN_RESTORE_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct restore_thread {
	struct restore_thread *next; /* of those that run */
	pid_t tid;
	bool resumed; /* false: CRIU had not stopped it, so it runs anyway */
	bool is_held; /* a SIGSTOP arrived and is sent again at the end */
	uint64_t sigmask;
};
/* Reads the signal mask of a thread that CRIU has stopped, which a resume changes. Returns 0;
 * -ESRCH when CRIU has not stopped it; or another -errno. */
int ccr__restore_thread_sigmask(pid_t tid, uint64_t *sigmask);
/* For the watcher: sets the signal mask of a thread that nobody traces. Returns 0 or -errno. */
int ccr__restore_thread_unblock(pid_t tid, uint64_t sigmask);
/* Resumes the one thread in which the driver works. Returns 0 or -errno. */
int ccr__restore_thread_resume(struct restore_thread *thread, pid_t tid);
/* Stops it again as CRIU had stopped it. Returns 0 or -errno. */
int ccr__restore_thread_stop(struct restore_thread *thread);
/* Its process was killed. Does nothing if it does not run. */
void ccr__restore_thread_forget(struct restore_thread *thread);
/* Resumes those that a signal has stopped. */
void ccr__restore_thread_keep_running(void);
/*
 * Sets the options that CRIU sets for a stopped thread: the task's seccomp filter neither blocks
 * nor sees what we run there. That requires CAP_SYS_ADMIN; without it CRIU itself refuses tasks
 * with a filter, and tasks without a filter do not need the option. Returns 0, or -1 with errno.
 */
int ccr__set_ptrace_options(pid_t tid);
/*
 * At a restore: makes the kernel kill the process if criu dies before it has
 * detached from all its threads, because a process that is not complete must not
 * run, and the images still exist. Returns 0 or -errno.
 */
int ccr__end_all_with_criu(pid_t pid);
/* In the watcher: the same for all that it will trace with ccr__seize_options. */
void ccr__end_tracees_with_us(void);
/* For PTRACE_SEIZE. */
uintptr_t ccr__seize_options(void);

#endif
