// SPDX-License-Identifier: MIT
#include "start/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* PID:FD:NS: the helper, the descriptor that ends it when it is closed, and when this program was
 * started by the monotonic clock, in nanoseconds. */
#define VARIABLE "CRIU_CUDA_STARTED_HELPER"

extern char **environ;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/* As Node's spawn() with `detached` and without stdout and stderr. In a frame of its own: the
 * parent continues in the one in which it has called vfork. */
__attribute__((noinline)) static _Noreturn void become_helper(char *const args[], int input)
{
	const int null_fd = open("/dev/null", O_RDWR);
	sigset_t none;

	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(input, STDIN_FILENO) == STDIN_FILENO &&
	    dup2(null_fd, STDOUT_FILENO) == STDOUT_FILENO &&
	    dup2(null_fd, STDERR_FILENO) == STDERR_FILENO && !syscall(SYS_close_range, 3, ~0U, 0))
		execve(args[0], args, environ);
	_exit(127);
}

/* Node finds a helper that could not be started, or has ended, not to be the one that it wants. */
static void start_helper(char *program, const struct typed *typed, uint64_t started_ns)
{
	char *const args[] = {program, "--early",
			      typed->is_restore ? (char *)typed->images_dir : NULL, NULL};
	sigset_t all, before;
	char value[64];
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return;
	/* Ctrl-Z would stop the child before it leaves our session, and this process with it */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	/* it runs when this returns: Node looks at it */
	pid = ends[0] > STDERR_FILENO && ends[1] > STDERR_FILENO ? vfork() : -1;
	if (!pid)
		become_helper(args, ends[0]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[0]);
	snprintf(value, sizeof(value), "%d:%d:%llu", pid, ends[1], (unsigned long long)started_ns);
	if (pid < 0 || setenv(VARIABLE, value, 1) || fcntl(ends[1], F_SETFD, 0))
		close(ends[1]);
}

int main(int argc, char **argv)
{
	const uint64_t started_ns = now_ns();
	char program[PATH_MAX];
	struct typed typed;

	if (argc < 3) {
		fprintf(stderr, "usage: criu-cuda-start NODE PROGRAM [WORD]...\n");
		return 2;
	}
	unsetenv(VARIABLE);
	if (start_read_words(argv + 3, &typed) && start_choose(&typed, program))
		start_helper(program, &typed, started_ns);
	execv(argv[1], argv + 1);
	fprintf(stderr, "criu-cuda: cannot run %s: %s\n", argv[1], strerror(errno));
	return 127;
}
