// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guard has stopped the process with SIGSTOP. While a process is stopped by a
 * signal, its threads do not run system calls for a tracer. So we trace all
 * threads, end the stop by SIGCONT, which no thread can take before we let it,
 * and move each thread to a new ptrace stop. At the end one thread takes the
 * SIGCONT and we discard it: the program did not ask for the stop and should not
 * see its end.
 */
#include "plugin/trace/seize.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "common/process.h"
#include "plugin/trace/each_thread.h"
#include "plugin/trace/parasite.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/restore_thread.h"
#include "plugin/task/state.h"
#include "plugin/trace/tracee.h"

#define PAUSE_NS 500000

static int check_stopped(pid_t tid, void *unused)
{
	char state[32] = "", first;

	if (ccr__proc_status(tid, "State", state, sizeof(state)))
		return 0; /* it has ended */
	first = state[strspn(state, "\t ")];
	return first == 'T' || first == 'Z' || first == 'X' ? 0 : -EAGAIN;
}

static int check_not_stopping(pid_t tid, void *unused)
{
	char text[64] = "";

	if (!ccr__proc_status(tid, "State", text, sizeof(text)) && strchr(text, 'T'))
		return -EBUSY;
	return ccr__has_signal(tid, "SigPnd", SIGSTOP) ? -EBUSY : 0;
}

bool ccr__is_stopping(pid_t pid)
{
	return ccr__each_thread(pid, check_not_stopping, NULL) == -EBUSY;
}

static int await_stop(pid_t pid)
{
	const double deadline = ccr__now_ms() + ccr__plugin.settings.step_timeout_ms;
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	int ret;

	/* A thread that is inside a system call stops at its end. */
	while ((ret = ccr__each_thread(pid, check_stopped, NULL)) == -EAGAIN) {
		if (ccr__now_ms() > deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return ret;
}

static bool has_ended(pid_t tid)
{
	return ccr_is_dying(tid);
}

static int trace(pid_t tid, void *unused)
{
	int status, ret;

	if (ptrace(PTRACE_SEIZE, tid, NULL, ccr__seize_options()))
		return has_ended(tid) ? 0 : -errno;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, 0))
		return -errno;
	ret = ccr__wait_stop(tid, &status);
	return ret == -ESRCH ? 0 : ret;
}

/* From the stop that SIGSTOP caused to one of our own; the thread does not run in between. */
static int stop_again(pid_t tid, void *unused)
{
	int status, ret;

	if (ptrace(PTRACE_INTERRUPT, tid, NULL, 0) || ptrace(PTRACE_CONT, tid, NULL, 0))
		return has_ended(tid) ? 0 : -errno;
	ret = ccr__wait_stop(tid, &status);
	return ret == -ESRCH ? 0 : ret;
}

int ccr__seize(pid_t pid)
{
	const int ret = await_stop(pid);

	return ret ? ret : ccr__each_thread(pid, trace, NULL);
}

int ccr__seize_continue(pid_t pid)
{
	const int ret = kill(pid, SIGCONT) ? -errno : ccr__each_thread(pid, stop_again, NULL);

	return ret ? ret : ccr__parasite_leave(pid);
}

/* Makes one thread take the pending SIGCONT, and discards it. */
static int discard_sigcont(pid_t tid)
{
	const unsigned long long all_but_one = ~(1ULL << (SIGCONT - 1));
	unsigned long long mask;
	int status, ret;

	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask) ||
	    ptrace(PTRACE_SETSIGMASK, tid, sizeof(all_but_one), &all_but_one))
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, 0) || ptrace(PTRACE_CONT, tid, NULL, 0))
		return -errno;
	ret = ccr__wait_stop(tid, &status);
	/* The stop that we asked for may come first. */
	if (!ret && WSTOPSIG(status) != SIGCONT && !ptrace(PTRACE_CONT, tid, NULL, 0))
		ret = ccr__wait_stop(tid, &status);
	if (ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask))
		return -errno;
	return ret;
}

static int detach(pid_t tid, void *unused)
{
	return ptrace(PTRACE_DETACH, tid, NULL, 0) && !has_ended(tid) ? -errno : 0;
}

int ccr__seize_end(pid_t pid)
{
	const int ret = ccr__has_signal(pid, "ShdPnd", SIGCONT) ? discard_sigcont(pid) : 0;
	const int released = ccr__each_thread(pid, detach, NULL);

	return ret ? ret : released;
}
