// SPDX-License-Identifier: GPL-2.0-only
/* A child that this process has stopped with ptrace, as criu does with a task. Include after
 * check.h. */
#ifndef CCR_TEST_STOPPED_CHILD_H
#define CCR_TEST_STOPPED_CHILD_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child calls `prepare` and is stopped afterwards. */
static inline pid_t start(void (*prepare)(void))
{
	int ready[2], status;
	char byte;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prepare();
		close(ready[1]);
		close(ready[0]);
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 0);
	close(ready[0]);
	CHECK(!ptrace(PTRACE_SEIZE, pid, NULL, 0));
	CHECK(!ptrace(PTRACE_INTERRUPT, pid, NULL, 0));
	CHECK(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
	return pid;
}

static inline void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
}

#endif
