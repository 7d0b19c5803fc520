// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver does its checkpoint work in one thread of the target, the restore
 * thread. CRIU has stopped every thread by ptrace when the hooks run, and a
 * stopped restore thread would let the driver's call wait for ever: it is let
 * run for the time of the call, alone and with every signal blocked.
 */
#include "plugin/plugin.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PTRACE_EVENT_OF(status) ((status) >> 16)
#define HOLD_MS			1000

static int failed(pid_t tid, const char *what)
{
	const int ret = -errno;

	ccr_err("restore thread %d: %s: %s", tid, what, strerror(errno));
	return ret;
}

static int set_options(pid_t tid, uintptr_t options)
{
	if (!ptrace(PTRACE_SETOPTIONS, tid, NULL, options | PTRACE_O_SUSPEND_SECCOMP))
		return 0;
	return errno == EPERM ? ptrace(PTRACE_SETOPTIONS, tid, NULL, options) : -1;
}

int ccr__set_ptrace_options(pid_t tid)
{
	return set_options(tid, PTRACE_O_TRACESYSGOOD);
}

int ccr__end_with_criu(pid_t tid, bool is_wanted)
{
	return set_options(tid, PTRACE_O_TRACESYSGOOD | (is_wanted ? PTRACE_O_EXITKILL : 0))
		       ? failed(tid, "set ptrace options")
		       : 0;
}

static int put_sigmask_back(const struct restore_thread *thread)
{
	return ptrace(PTRACE_SETSIGMASK, thread->tid, sizeof(thread->sigmask), &thread->sigmask)
		       ? failed(thread->tid, "put signal mask back")
		       : 0;
}

/* Blocked signals are not left behind. */
static int give_up(const struct restore_thread *thread, const char *what)
{
	const int ret = failed(thread->tid, what);

	put_sigmask_back(thread);
	return ret;
}

/*
 * A task that is to stand still after its restore has a SIGSTOP waiting, which
 * cannot be blocked and would stop the only thread that runs. A SIGCONT may take
 * it back in this very moment: then there is nothing to wait for.
 */
static int hold_stop(struct restore_thread *thread)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int status;

	for (int i = 0; i < HOLD_MS && !thread->is_held; i++) {
		const pid_t stopped = waitpid(thread->tid, &status, __WALL | WNOHANG);

		if (stopped < 0 && errno != EINTR)
			return failed(thread->tid, "wait");
		if (stopped <= 0) {
			nanosleep(&pause, NULL);
			continue;
		}
		if (!WIFSTOPPED(status))
			return -ESRCH;
		thread->is_held = !PTRACE_EVENT_OF(status) && WSTOPSIG(status) == SIGSTOP;
		if (ptrace(PTRACE_CONT, thread->tid, NULL, 0))
			return failed(thread->tid, "continue");
	}
	return 0;
}

int ccr__restore_thread_resume(struct restore_thread *thread, pid_t tid)
{
	const unsigned long long blocked = ~(1ULL << (SIGTRAP - 1));
	const bool is_to_stop = ccr__has_pending(tid, SIGSTOP);

	*thread = (struct restore_thread){.tid = tid};
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(thread->sigmask), &thread->sigmask)) {
		if (errno == ESRCH) /* CRIU has not stopped the task yet, or let it go already */
			return 0;
		return failed(tid, "read signal mask");
	}
	if (ptrace(PTRACE_SETSIGMASK, tid, sizeof(blocked), &blocked))
		return failed(tid, "block signals");
	/* The thread must live under its own seccomp filter while it runs. */
	if (ptrace(PTRACE_SETOPTIONS, tid, NULL, 0))
		return give_up(thread, "clear ptrace options");
	if (ptrace(PTRACE_CONT, tid, NULL, 0))
		return give_up(thread, "continue");
	thread->resumed = true;
	return is_to_stop ? hold_stop(thread) : 0;
}

int ccr__restore_thread_stop(struct restore_thread *thread)
{
	const pid_t tid = thread->tid;
	int status;

	if (!thread->resumed)
		return 0;
	thread->resumed = false;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, 0))
		return failed(tid, "interrupt");
	for (;;) {
		if (waitpid(tid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return failed(tid, "wait");
		}
		if (!WIFSTOPPED(status)) {
			ccr_err("restore thread %d ended (status %x)", tid, status);
			return -ESRCH;
		}
		if (PTRACE_EVENT_OF(status) == PTRACE_EVENT_STOP)
			break;
		/* A signal got in first: hand it on, the stop we asked for is still to come. */
		if (ptrace(PTRACE_CONT, tid, NULL, WSTOPSIG(status)))
			return failed(tid, "continue");
	}
	if (thread->is_held)
		syscall(SYS_tkill, tid, SIGSTOP);
	if (ccr__set_ptrace_options(tid))
		return give_up(thread, "set ptrace options");
	return put_sigmask_back(thread);
}
