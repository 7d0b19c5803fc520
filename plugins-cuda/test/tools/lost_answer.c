// SPDX-License-Identifier: MIT
/*
 * LD_PRELOAD library for tests: CRIU accepts a connection of each parasite that it has put into a
 * process, and ends when a signal tells it that the process has died. With CCR_LOST_ANSWER=PID,
 * this process is killed then, no connection comes, and CRIU misses the signal.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

__attribute__((visibility("default"))) int accept(int fd, struct sockaddr *address,
						  socklen_t *length)
{
	const char *pid = getenv("CCR_LOST_ANSWER");

	sigset_t missed;

	sigemptyset(&missed);
	sigaddset(&missed, SIGCHLD);
	sigprocmask(SIG_BLOCK, &missed, NULL);
	if (pid)
		kill(atoi(pid), SIGKILL);
	for (;;)
		pause();
}
