// SPDX-License-Identifier: MIT
/* Description: which processes will do nothing more. */
#include "common/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/check.h"

/* A child whose name looks like the end of the field with the name. Its end of the pipe closes
 * when it ends. */
static pid_t start(int *pipe_end)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC)) {
		perror("pipe2");
		exit(1);
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, "a) Z 1 (b");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		for (;;)
			pause();
	}
	close(ends[1]);
	*pipe_end = ends[0];
	return pid;
}

static void await_hangup(int pipe_end)
{
	char byte;

	while (read(pipe_end, &byte, 1) > 0)
		;
	close(pipe_end);
}

static void test_life(void)
{
	int pipe_end, status;
	const pid_t pid = start(&pipe_end);

	CHECK(!ccr_is_dying(getpid()));
	CHECK(!ccr_is_dying(pid));
	kill(pid, SIGSTOP);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	CHECK(!ccr_is_dying(pid));
	kill(pid, SIGTERM); /* pending, because it is stopped */
	CHECK(!ccr_is_dying(pid));
	kill(pid, SIGKILL);
	await_hangup(pipe_end);
	CHECK(ccr_is_dying(pid)); /* a zombie, or not yet */
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(ccr_is_dying(pid));
}

/* Ends when all others of its PID namespace are collected: until then it is not a zombie. */
static void test_between_hangup_and_zombie(void)
{
	int own, namespace, pipe_end, other_end;
	char path[40];
	struct pollfd poller = {.events = POLLIN};
	pid_t init, other;

	own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (unshare(CLONE_NEWPID)) {
		puts("skipped: a PID namespace needs root");
		exit(failures ? 1 : 77);
	}
	init = start(&pipe_end);
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
	namespace = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(namespace >= 0 && !setns(namespace, CLONE_NEWPID));
	other = start(&other_end);
	CHECK(!setns(own, CLONE_NEWPID));
	poller.fd = (int)syscall(SYS_pidfd_open, init, 0);

	kill(init, SIGKILL);
	await_hangup(pipe_end);
	CHECK(poll(&poller, 1, 0) == 0); /* its pidfd does not tell yet */
	CHECK(ccr_is_dying(init));
	CHECK(waitpid(other, NULL, 0) == other);
	CHECK(poll(&poller, 1, -1) == 1);
	CHECK(ccr_is_dying(init));
	CHECK(waitpid(init, NULL, 0) == init);
	close(other_end);
	close(poller.fd);
	close(namespace);
	close(own);
}

int main(void)
{
	test_life();
	test_between_hangup_and_zombie();
	return failures != 0;
}
