// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for a thread that we trace. waitpid has no time limit, and never
 * reports a thread-group leader that has ended while other threads of the process
 * exist, which happens to every process that is killed while it is traced. The
 * kernel has no descriptor for the stops of one thread, so this file asks
 * repeatedly: at first without a pause, because most stops follow within
 * microseconds.
 */
#include "plugin/trace/tracee.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin/trace/each_thread.h"
#include "plugin/trace/proc_status.h"
#include "plugin/task/state.h"

#define YIELDS	     100
#define PAUSE_MIN_NS 50000
#define PAUSE_MAX_NS 1000000

static bool has_ended(pid_t tid)
{
	char state[32];
	char first;

	if (ccr__proc_status(tid, "State", state, sizeof(state)))
		return true;
	first = state[strspn(state, "\t ")];
	return first == 'Z' || first == 'X';
}

int ccr__wait_stop(pid_t tid, int *status)
{
	const double deadline = ccr__now_ms() + ccr__plugin.settings.step_timeout_ms;
	struct timespec pause = {.tv_nsec = PAUSE_MIN_NS};

	for (unsigned int tries = 0;; tries++) {
		const pid_t got = waitpid(tid, status, __WALL | WNOHANG);

		if (got > 0)
			return WIFSTOPPED(*status) ? 0 : -ESRCH;
		if (got < 0 && errno != EINTR)
			return errno == ECHILD ? -ESRCH : -errno;
		if (tries < YIELDS) {
			sched_yield();
			continue;
		}
		if (has_ended(tid))
			return -ESRCH;
		if (ccr__now_ms() > deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < PAUSE_MAX_NS)
			pause.tv_nsec *= 2;
	}
}

static int is_continued(pid_t tid, void *unused)
{
	return ccr__has_signal(tid, "SigPnd", SIGCONT) || ccr__has_signal(tid, "ShdPnd", SIGCONT);
}

void ccr__send_kept(pid_t tid, int signal)
{
	/* No thread could take a SIGCONT meanwhile, and SIGSTOP removes those that came before it.
	 */
	if (signal == SIGSTOP && ccr__each_thread(ccr__process_of(tid), is_continued, NULL) > 0)
		return;
	syscall(SYS_tkill, tid, signal);
}
