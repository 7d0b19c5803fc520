// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver does its checkpoint work in one thread of the process, the restore
 * thread. When the hooks run, CRIU has stopped every thread with ptrace, and a
 * driver call would wait forever for a stopped restore thread. So we resume this
 * thread alone, with every signal blocked, for the duration of the call.
 */
#include "plugin/task/restore_thread.h"
#include "plugin/trace/each_thread.h"
#include "plugin/task/state.h"
#include "plugin/trace/tracee.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define PTRACE_EVENT_OF(status) ((status) >> 16)

static struct restore_thread *running; /* those that we have resumed */
static uintptr_t lasting_options;      /* part of all options that are set */

static int failed(pid_t tid, const char *what)
{
	const int ret = -errno;

	ccr_err("restore thread %d: cannot %s: %s", tid, what, strerror(errno));
	return ret;
}

static int set_options(pid_t tid, uintptr_t options)
{
	options |= lasting_options;
	if (!ptrace(PTRACE_SETOPTIONS, tid, NULL, options | PTRACE_O_SUSPEND_SECCOMP))
		return 0;
	return errno == EPERM ? ptrace(PTRACE_SETOPTIONS, tid, NULL, options) : -1;
}

int ccr__set_ptrace_options(pid_t tid)
{
	return set_options(tid, PTRACE_O_TRACESYSGOOD);
}

static int set_lasting_options(pid_t tid, void *unused)
{
	return set_options(tid, 0) ? failed(tid, "set its ptrace options") : 0;
}

int ccr__end_all_with_criu(pid_t pid)
{
	lasting_options = PTRACE_O_EXITKILL;
	return ccr__each_thread(pid, set_lasting_options, NULL);
}

void ccr__end_tracees_with_us(void)
{
	lasting_options = PTRACE_O_EXITKILL;
}

uintptr_t ccr__seize_options(void)
{
	return lasting_options;
}

static int restore_sigmask(const struct restore_thread *thread)
{
	return ptrace(PTRACE_SETSIGMASK, thread->tid, sizeof(thread->sigmask), &thread->sigmask)
		       ? failed(thread->tid, "restore its signal mask")
		       : 0;
}

/* For a failure after the signals were blocked: restores the signal mask. */
static int give_up(const struct restore_thread *thread, const char *what)
{
	const int ret = failed(thread->tid, what);

	restore_sigmask(thread);
	return ret;
}

/* Resumes the thread from a stop that we did not ask for. */
static int continue_from_stop(struct restore_thread *thread, int status)
{
	int signal = 0;

	if (PTRACE_EVENT_OF(status) != PTRACE_EVENT_STOP) /* that one is SIGCONT's */
		signal = WSTOPSIG(status);
	if (signal == SIGSTOP) {
		thread->is_held = true; /* cannot be blocked; it is sent again afterwards */
		signal = 0;
	}
	return ptrace(PTRACE_CONT, thread->tid, NULL, signal) ? failed(thread->tid, "continue") : 0;
}

void ccr__restore_thread_keep_running(void)
{
	int status;

	for (struct restore_thread *thread = running; thread; thread = thread->next)
		if (waitpid(thread->tid, &status, __WALL | WNOHANG) > 0 && WIFSTOPPED(status))
			continue_from_stop(thread, status);
}

int ccr__restore_thread_sigmask(pid_t tid, uint64_t *sigmask)
{
	if (!ptrace(PTRACE_GETSIGMASK, tid, sizeof(*sigmask), sigmask))
		return 0;
	return errno == ESRCH ? -ESRCH : failed(tid, "read its signal mask");
}

int ccr__restore_thread_unblock(pid_t tid, uint64_t sigmask)
{
	int status, ret;

	if (ptrace(PTRACE_SEIZE, tid, NULL, 0))
		return failed(tid, "trace it");
	ret = ptrace(PTRACE_INTERRUPT, tid, NULL, 0) ? failed(tid, "interrupt it")
						     : ccr__wait_stop(tid, &status);
	if (!ret && ptrace(PTRACE_SETSIGMASK, tid, sizeof(sigmask), &sigmask))
		ret = failed(tid, "restore its signal mask");
	/* A signal that came first is passed on. */
	if (ptrace(PTRACE_DETACH, tid, NULL,
		   ret || PTRACE_EVENT_OF(status) ? 0 : WSTOPSIG(status)) &&
	    !ret)
		ret = failed(tid, "detach from it");
	return ret;
}

int ccr__restore_thread_resume(struct restore_thread *thread, pid_t tid)
{
	const uint64_t blocked = ~(1ULL << (SIGTRAP - 1));
	int ret;

	*thread = (struct restore_thread){.tid = tid};
	ret = ccr__restore_thread_sigmask(tid, &thread->sigmask);
	if (ret) /* CRIU has not stopped the task yet, or has detached from it */
		return ret == -ESRCH ? 0 : ret;
	if (ptrace(PTRACE_SETSIGMASK, tid, sizeof(blocked), &blocked))
		return failed(tid, "block its signals");
	/* The thread must be under its own seccomp filter while it runs. */
	if (ptrace(PTRACE_SETOPTIONS, tid, NULL, lasting_options))
		return give_up(thread, "clear its ptrace options");
	if (ptrace(PTRACE_CONT, tid, NULL, 0))
		return give_up(thread, "continue");
	thread->resumed = true;
	thread->next = running;
	running = thread;
	return 0;
}

void ccr__restore_thread_forget(struct restore_thread *thread)
{
	struct restore_thread **link = &running;

	while (*link && *link != thread)
		link = &(*link)->next;
	if (*link)
		*link = thread->next;
	thread->resumed = false;
}

int ccr__restore_thread_stop(struct restore_thread *thread)
{
	const pid_t tid = thread->tid;
	int status;

	if (!thread->resumed)
		return 0;
	ccr__restore_thread_forget(thread);
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, 0))
		return failed(tid, "interrupt it");
	for (;;) {
		const int ret = ccr__wait_stop(tid, &status);

		if (ret) {
			ccr_err("restore thread %d does not stop: %s", tid, strerror(-ret));
			return ret;
		}
		if (PTRACE_EVENT_OF(status) == PTRACE_EVENT_STOP)
			break;
		/* A signal came first; the stop that we asked for is still to come. */
		if (continue_from_stop(thread, status))
			return -EIO;
	}
	if (thread->is_held)
		ccr__send_kept(tid, SIGSTOP);
	if (ccr__set_ptrace_options(tid))
		return give_up(thread, "set its ptrace options");
	return restore_sigmask(thread);
}
