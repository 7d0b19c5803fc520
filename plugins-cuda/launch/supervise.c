// SPDX-License-Identifier: MIT
/*
 * The program as a child, and what a caller expects of the program itself: signals reach it, a stop
 * and a continuation by the terminal, too, and its exit code is returned.
 */
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A shell reports the end by a signal so. */
enum { EXIT_SIGNALED = 128 };

static pid_t start(const struct launch *launch, const struct launch_origin *origin, int failed)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setsid();
	launch_become(launch, origin);
	(void)!write(failed, "", 1);
	_exit(LAUNCH_USAGE);
}

/* The pipe closes when the program is executed. Returns whether it was. */
static bool was_executed(int failed)
{
	ssize_t n;
	char byte;

	do
		n = read(failed, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 0;
}

static bool has_ended(pid_t pid, int *code)
{
	siginfo_t info = {.si_pid = 0};
	int status;

	if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid != pid)
		return false;
	/* before a restore can have the pid, and write the file again */
	launch_end_generation(pid);
	if (waitpid(pid, &status, 0) != pid)
		return false;
	*code = WIFSIGNALED(status) ? EXIT_SIGNALED + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

/* Ctrl-Z: the program is in another session, where the terminal does not stop it. */
static void stop_both(pid_t pid)
{
	kill(-pid, SIGSTOP);
	raise(SIGSTOP);
}

static void forward(pid_t pid, const siginfo_t *info)
{
	switch (info->si_signo) {
	case SIGCHLD:
	case SIGPIPE: /* of our own line */
	case SIGTTIN:
	case SIGTTOU:
		return;
	case SIGTSTP:
		stop_both(pid);
		return;
	case SIGCONT:
		kill(-pid, SIGCONT);
		return;
	default:
		/* the terminal's reach a whole process group, others one process */
		kill(info->si_code == SI_KERNEL ? -pid : pid, info->si_signo);
	}
}

static int wait_and_forward(pid_t pid)
{
	siginfo_t info;
	sigset_t all;
	int code;

	sigfillset(&all);
	while (!has_ended(pid, &code)) {
		if (sigwaitinfo(&all, &info) > 0)
			forward(pid, &info);
	}
	return code;
}

int launch_supervise(const struct launch *launch, const struct launch_origin *origin)
{
	int failed[2], code;
	pid_t pid;

	if (pipe2(failed, O_CLOEXEC)) {
		launch_fail(launch, origin, "cannot make a pipe: %s", strerror(errno));
		return LAUNCH_USAGE;
	}
	pid = start(launch, origin, failed[1]);
	if (pid < 0) {
		launch_fail(launch, origin, "cannot fork: %s", strerror(errno));
		return LAUNCH_USAGE;
	}
	close(failed[1]);
	if (!was_executed(failed[0])) {
		waitpid(pid, &code, 0);
		return LAUNCH_USAGE;
	}
	close(failed[0]);
	if (launch->report >= 0)
		close(launch->report);
	launch_say_pid(launch, origin, pid);
	return launch->detaches ? 0 : wait_and_forward(pid);
}
